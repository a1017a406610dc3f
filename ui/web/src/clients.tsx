// The MQTT clients: who is there, who is slow, what waits for those who are away, and why they left.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getClients } from "./api";
import * as f from "./format";
import { StateWord } from "./shapes";
import { paused, serverNow } from "./store";
import type { Client } from "./types";

const list = signal<Client[] | null>(null);
const trouble = signal("");

const maxRows = 500;

async function load(): Promise<void> {
  try {
    list.value = await getClients();
    trouble.value = "";
  } catch (e) {
    trouble.value = e instanceof Error ? e.message : String(e);
  }
}

export function ClientView() {
  useEffect(() => {
    if (paused.value) return;
    void load();
    const timer = setInterval(() => void load(), 2000);
    return () => clearInterval(timer);
  }, [paused.value]);
  const all = list.value ?? [];
  const slow = all.filter((c) => c.slow).length;
  return (
    <section class="panel clients full" data-view="clients">
      <header>
        <h2>Clients</h2>
        <span class="dim">
          {f.count(all.filter((c) => c.connected).length)} connected of {f.count(all.length)} sessions
        </span>
        {slow > 0 && <span class="noteworthy">{f.count(slow)} slow</span>}
        {trouble.value && <span class="noteworthy">not up to date: {trouble.value}</span>}
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="clients">
        {list.value && all.length === 0 && <p class="empty">No client has a session.</p>}
        {all.length > 0 && <ClientTable rows={all.slice(0, maxRows)} />}
        {all.length > maxRows && <p class="dim">The first {f.count(maxRows)} are shown; /api/v1/clients has all.</p>}
      </div>
    </section>
  );
}

function ClientTable({ rows }: { rows: Client[] }) {
  return (
    <table class="grid">
      <thead>
        <tr>
          <th>client</th>
          <th>state</th>
          <th>address</th>
          <th>protocol</th>
          <th class="num">keep alive</th>
          <th class="num">from it</th>
          <th class="num">to it</th>
          <th class="num">waiting</th>
          <th class="num">dropped</th>
          <th>left last</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((c) => (
          <ClientRow key={c.id} c={c} />
        ))}
      </tbody>
    </table>
  );
}

function ClientRow({ c }: { c: Client }) {
  const waiting = c.queued + c.inflight;
  const last = c.last_disconnect;
  return (
    <tr data-client={c.id} data-connected={c.connected} data-slow={c.slow}>
      <td title={c.user && `user ${f.value(c.user)}`}>{f.value(c.id)}</td>
      <td>
        <StateWord state={c.connected ? "online" : "idle"} word={c.connected ? "connected" : "away"} />{" "}
        <span class="dim">{f.age(c.since, serverNow.value)}</span> {c.slow && <strong class="noteworthy">slow</strong>}
      </td>
      <td>
        {c.address} <span class="dim">{[c.listener, c.tls && "TLS"].filter(Boolean).join(", ")}</span>
      </td>
      <td>{c.protocol}</td>
      <td class="num">{c.keep_alive > 0 ? f.duration(c.keep_alive) : "none"}</td>
      <td class="num">{f.count(c.received.messages)}</td>
      <td class="num">{f.count(c.sent.messages)}</td>
      <td class="num">{f.count(waiting)}</td>
      <td class={c.dropped > 0 ? "num noteworthy" : "num"}>{f.count(c.dropped)}</td>
      <td>{last && `${last.reason}, ${f.clock(last.at, serverNow.value)}`}</td>
    </tr>
  );
}
