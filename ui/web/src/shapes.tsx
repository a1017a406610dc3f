// The shapes of states. Colour is never alone: each state has its shape and its word.

import type { Quality } from "./types";

type Tone = "normal" | "bad" | "warn" | "off";

const tones: Record<string, Tone> = {
  online: "normal", live: "normal", idle: "off",
  offline: "bad", down: "bad", dying: "warn",
  unknown: "warn", stale: "warn", connecting: "warn", wait_state: "warn", birthing: "warn", flushing: "warn",
};

export const toneOf = (state: string): Tone => tones[state] ?? "warn";

export function StateShape({ state }: { state: string }) {
  const tone = toneOf(state);
  return (
    <svg class={`shape tone-${tone}`} viewBox="0 0 16 16" aria-hidden="true">
      {tone === "normal" && <circle cx="8" cy="8" r="5.5" />}
      {tone === "off" && <circle cx="8" cy="8" r="5" class="hollow" />}
      {tone === "bad" && <path d="M2 2h12v12H2z" />}
      {tone === "bad" && <path d="M5 5l6 6M11 5l-6 6" class="mark" />}
      {tone === "warn" && <path d="M8 1.5 15 14H1z" />}
      {tone === "warn" && <path d="M8 6v4M8 11.4v1.2" class="mark" />}
    </svg>
  );
}

export function StateWord({ state, word }: { state: string; word?: string }) {
  return (
    <span class={`state tone-${toneOf(state)}`}>
      <StateShape state={state} />
      {word ?? state}
    </span>
  );
}

const letters: Record<Quality, string> = { good: "", uncertain: "?", stale: "S", bad: "B", null: "∅", never: "–" };

// Good is quiet: no mark. Every other quality has a letter in a box and its word.
export function QualityMark({ quality }: { quality: Quality }) {
  if (quality === "good") return <span class="quality q-good">good</span>;
  return (
    <span class={`quality q-${quality}`}>
      <span class="letter" aria-hidden="true">
        {letters[quality]}
      </span>
      {quality}
    </span>
  );
}
