// The event log: newest first, with a filter and a pause of its own.

import { signal } from "@preact/signals";
import { getEvents } from "./api";
import * as f from "./format";
import { addEvents, eventKey, events, nodes, say, serverNow } from "./store";
import type { Event } from "./types";

const held = signal<Event[] | null>(null); // the list as it was when it was paused
const kind = signal("");
const node = signal("");

export function EventList({ list }: { list: Event[] }) {
  if (list.length === 0) return <p class="empty">No events.</p>;
  // With one group its name says nothing; the title has it.
  const oneGroup = new Set(nodes.value.map((n) => n.group)).size <= 1;
  return (
    <ol class="event-list">
      {list.map((e) => (
        <li key={eventKey(e)} data-event={e.kind} data-abnormal={f.abnormalEvent(e) ? "true" : undefined}>
          <time dateTime={e.received ?? e.time ?? ""} title={e.received ?? e.time ?? ""}>
            {f.clock(e.received ?? e.time, serverNow.value)}
          </time>
          <span class="kind">{f.kindWord(e.kind)}</span>
          <span class="where" title={f.place(e)}>
            {f.place(oneGroup ? { ...e, group: "" } : e)}
            {e.bd_seq !== null ? <span class="dim"> bdSeq {e.bd_seq}</span> : null}
          </span>
          <span class="why">
            {[f.reason(e.reason, serverNow.value), e.kind === "gap" ? `${f.clock(e.time, serverNow.value)} to ${f.clock(e.until, serverNow.value)}` : f.ownTime(e.time, e.received, serverNow.value), e.count > 0 ? `${f.count(e.count)} samples` : "", e.user && `by ${e.user}`].filter(Boolean).join(", ")}
          </span>
        </li>
      ))}
    </ol>
  );
}

export function EventPanel({ rows }: { rows: number }) {
  const list = held.value ?? events.value;
  return (
    <section class="panel events" aria-labelledby="events-title">
      <header>
        <h2 id="events-title">Events</h2>
        <span class="grow" />
        <a class="button quiet" href="#/events">
          All
        </a>
        <PauseLog />
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="newest events">
        <EventList list={list.slice(0, rows)} />
      </div>
    </section>
  );
}

function PauseLog() {
  const missed = held.value ? events.value.length - held.value.length : 0;
  return (
    <button type="button" class="quiet" aria-pressed={held.value !== null} onClick={() => (held.value = held.value ? null : events.value)}>
      {held.value ? `Resume${missed > 0 ? ` (${missed} new)` : ""}` : "Pause"}
    </button>
  );
}

export function EventView() {
  const all = held.value ?? events.value;
  const names = [...new Set(events.value.filter((e) => e.node).map((e) => `${e.group}/${e.node}`))].sort();
  const list = all.filter((e) => (!kind.value || e.kind === kind.value) && (!node.value || `${e.group}/${e.node}` === node.value));
  return (
    <section class="panel events full" data-view="events">
      <header>
        <h2>Events</h2>
        <label>
          kind
          <select value={kind.value} onChange={(e) => (kind.value = e.currentTarget.value)}>
            <option value="">all</option>
            {f.eventKinds.map((k) => (
              <option key={k} value={k}>
                {f.kindWord(k)}
              </option>
            ))}
          </select>
        </label>
        <label>
          node
          <select value={node.value} onChange={(e) => (node.value = e.currentTarget.value)}>
            <option value="">all</option>
            {names.map((n) => (
              <option key={n}>{n}</option>
            ))}
          </select>
        </label>
        <span class="grow" />
        <button type="button" class="quiet" onClick={() => void older()}>
          Load older
        </button>
        <PauseLog />
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="events">
        <EventList list={list} />
      </div>
    </section>
  );
}

async function older(): Promise<void> {
  const last = events.value[events.value.length - 1];
  const q = new URLSearchParams({ limit: "200" });
  if (last && last.id !== "0") q.set("after", last.id);
  if (kind.value) q.set("kind", kind.value);
  if (node.value) q.set("node", node.value);
  try {
    const { events: more } = await getEvents(q.toString());
    addEvents(more);
    say(more.length === 0 ? "There are no older events" : `${more.length} older events loaded`);
  } catch (e) {
    say(`Events: ${e instanceof Error ? e.message : String(e)}`, true);
  }
}
