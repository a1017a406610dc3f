// One confirmation dialog for the page, and the message line that screen readers speak.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Refused } from "./api";
import { say } from "./store";

interface Question {
  title: string;
  text: string;
  act: string; // the word on the button
  done: () => Promise<unknown>;
}

const question = signal<Question | null>(null);

export const confirm = (q: Question): void => void (question.value = q);

// Runs a command and says what came of it.
export async function run(what: string, command: () => Promise<unknown>): Promise<void> {
  try {
    await command();
    say(`${what}: asked, the outcome follows as an event`);
  } catch (e) {
    const hint = e instanceof Refused && e.hint ? ` (${e.hint})` : "";
    say(`${what}: ${e instanceof Error ? e.message : String(e)}${hint}`, true);
  }
}

export function ConfirmDialog() {
  const ref = useRef<HTMLDialogElement>(null);
  const q = question.value;
  useEffect(() => {
    if (q) ref.current?.showModal();
  }, [q]);
  if (!q) return null;
  const close = () => {
    ref.current?.close();
    question.value = null;
  };
  return (
    <dialog ref={ref} onClose={close} aria-labelledby="confirm-title">
      <h2 id="confirm-title">{q.title}</h2>
      <p>{q.text}</p>
      <div class="buttons">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button
          type="button"
          class="primary"
          data-action="confirm"
          onClick={() => {
            close();
            void run(q.title, q.done);
          }}
        >
          {q.act}
        </button>
      </div>
    </dialog>
  );
}
