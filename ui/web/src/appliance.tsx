// The appliance itself: its disk, what it warns of, and the other Sparkplug hosts at its broker.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getStatus } from "./api";
import * as f from "./format";
import { StateWord } from "./shapes";
import { paused, serverNow } from "./store";
import type { Status } from "./types";

const status = signal<Status | null>(null);

async function load(): Promise<void> {
  try {
    status.value = await getStatus();
  } catch {
    status.value = null; // the header says that there is no data
  }
}

export function AppliancePanel() {
  useEffect(() => {
    if (paused.value) return;
    void load();
    const timer = setInterval(() => void load(), 5000);
    return () => clearInterval(timer);
  }, [paused.value]);
  const s = status.value;
  if (!s) return null;
  return (
    <section class="panel appliance" aria-label="appliance">
      <Disk s={s} />
      {s.hosts.map((h) => (
        <div class="row" key={`${h.host} ${h.legacy}`} data-host={h.host} data-state={h.online ? "online" : "offline"} title={h.client && `said by client ${f.value(h.client)}`}>
          <span class="dim">host</span> {f.value(h.host)} <StateWord state={h.online ? "online" : "offline"} />
          <span class="dim">since {f.clock(h.since ?? h.received, serverNow.value)}</span>
        </div>
      ))}
      {[...s.ready.reasons, ...s.warnings].map((w) => (
        <p key={w} class="noteworthy" data-warning>
          {w}
        </p>
      ))}
    </section>
  );
}

// What the historian does about the room that is left.
const levels = {
  ok: "",
  warn: "fills up",
  drop: "the oldest samples go",
  low: "low: the oldest files go, rollups wait",
  full: "full",
};

function Disk({ s }: { s: Status }) {
  if (!s.disk) return null;
  const { bytes, limit_bytes: limit, space, ballast_bytes: ballast } = s.historian;
  return (
    <div class="row" data-space={space} title={`${s.disk.path}; ${ballast > 0 ? `ballast of ${f.bytes(ballast)} for a full disk` : "no ballast"}`}>
      <span class="dim">disk</span> {f.bytes(s.disk.free_bytes)} free of {f.bytes(s.disk.total_bytes)}
      {levels[space] && <span class="noteworthy">{levels[space]}</span>}
      <span class="dim">
        history {f.bytes(bytes)}
        {limit > 0 && ` of ${f.bytes(limit)}`}
      </span>
    </div>
  );
}
