// What the page knows, as signals. Only stream.ts writes the live part; views read it and set what they want to see.

import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import type { Change, Demo, Event, Live, Metric, Node, Snapshot, Uplink } from "./types";

// Live part.
export const nodes = signal<Node[]>([]);
export const uplinks = signal<Uplink[]>([]);
export const demo = signal<Demo | null>(null);
export const events = signal<Event[]>([]); // newest first
export const version = signal("");
export const demoMode = signal(false);
export const commandsAllowed = signal(false);
export const loaded = signal(false); // the first snapshot is here

// One metric: what does not change within a generation, and a signal for what does.
export interface Cell {
  metric: Metric;
  live: Signal<Live>;
}
export const cells = new Map<string, Cell>();
export const metricList = signal<Metric[]>([]); // of the present snapshot, in the server's order

// Age of the data. A page that shows numbers from a stream that has stopped is worse than an empty page.
export const now = signal(Date.now());
export const lastHeard = signal(0); // this browser's clock
export const paused = signal(false);
export const silence = computed(() => (lastHeard.value === 0 ? 0 : Math.max(0, (now.value - lastHeard.value) / 1000)));
export type Freshness = "starting" | "live" | "late" | "dead" | "paused";
export const freshness = computed<Freshness>(() => {
  if (paused.value) return "paused";
  if (lastHeard.value === 0) return "starting";
  return silence.value >= 10 ? "dead" : silence.value >= 3 ? "late" : "live";
});
export const canCommand = computed(() => commandsAllowed.value && (freshness.value === "live" || freshness.value === "late"));
export const canSwitch = computed(() => freshness.value === "live" || freshness.value === "late"); // the demo's switches

// The appliance's clock less this browser's, so that ages are right on a panel whose clock is wrong.
export const clockOffset = signal(0);
export const serverNow = computed(() => now.value + clockOffset.value);

// What the views want to see.
export const openKeys = signal<ReadonlySet<string>>(new Set());
export const filter = signal("");
export const selected = signal<string | null>(null); // metric id
export const message = signal<{ text: string; refused: boolean } | null>(null); // spoken by the live region
export const say = (text: string, refused = false): void => void (message.value = { text, refused });

export type View = { name: "overview" | "tags" | "uplinks" | "clients" | "firewall" | "events" } | { name: "node"; group: string; node: string };

function viewOf(hash: string): View {
  let p: string[] = [];
  try {
    p = hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    // an address cut short by whoever pasted it: the overview
  }
  if (p[0] === "node" && p[1] && p[2]) return { name: "node", group: p[1], node: p[2] };
  if (p[0] === "tags" || p[0] === "uplinks" || p[0] === "clients" || p[0] === "firewall" || p[0] === "events") return { name: p[0] };
  return { name: "overview" };
}
export const view = signal<View>(viewOf(location.hash));
addEventListener("hashchange", () => (view.value = viewOf(location.hash)));

const maxQuery = 8000; // a request line has an end

// What the stream is to carry: node states always; metrics of nodes that are open in the tree, and the selected one.
export const wanted = computed(() => {
  const q = new URLSearchParams();
  if (selected.value) q.set("ids", selected.value);
  if (view.value.name === "tags") {
    const list = filter.value.trim() ? ["*"] : [...openKeys.value].filter((k) => k.startsWith("n:")).map((k) => k.slice(2));
    const nodes = list.sort().join(",");
    if (nodes) q.set("nodes", nodes.length > maxQuery ? "*" : nodes);
  }
  return q.toString();
});

const maxEvents = 1000;

export function applySnapshot(s: Snapshot): void {
  if (version.peek() && version.peek() !== s.version) location.reload(); // another program answers: its page may be another
  batch(() => {
    loaded.value = true;
    nodes.value = s.nodes;
    uplinks.value = s.uplinks;
    version.value = s.version;
    demoMode.value = s.demo;
    commandsAllowed.value = s.commands;
    const ids = new Set(s.metrics.map((m) => m.id));
    for (const id of cells.keys()) if (!ids.has(id)) cells.delete(id);
    for (const m of s.metrics) {
      const cell = cells.get(m.id);
      if (cell) {
        cell.metric = m;
        cell.live.value = m;
      } else {
        cells.set(m.id, { metric: m, live: signal<Live>(m) });
      }
    }
    metricList.value = s.metrics;
  });
}

export function applyChanges(changes: Change[]): void {
  batch(() => {
    for (const c of changes) {
      const cell = cells.get(c.id);
      if (cell) cell.live.value = c;
    }
  });
}

export function applyNode(n: Node): void {
  const list = nodes.value;
  const i = list.findIndex((o) => o.group === n.group && o.node === n.node);
  if (i >= 0) {
    nodes.value = list.with(i, n);
    return;
  }
  nodes.value = [...list, n].sort((a, b) => order(a.group, b.group) || order(a.node, b.node));
}

// As the server sorts: by bytes, near enough by code units.
const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function addEvents(more: Event[]): void {
  const seen = new Set(events.value.map(eventKey));
  const fresh = more.filter((e) => !seen.has(eventKey(e)));
  if (fresh.length > 0) events.value = [...fresh, ...events.value].sort(newestFirst).slice(0, maxEvents);
}

export const eventKey = (e: Event): string => `${e.id}|${e.kind}|${e.time}|${e.group}/${e.node}/${e.device}`;

// By their place in the journal, as the appliance lists them: the times are the nodes' own, and a clock may be wrong.
const newestFirst = (a: Event, b: Event): number => Number(b.id) - Number(a.id);

// Once a second, and not in a hidden tab, which browsers slow down anyway.
setInterval(() => (now.value = Date.now()), 1000);

// What was said is shown for a while.
let messageTimer = 0;
effect(() => {
  clearTimeout(messageTimer);
  if (message.value) messageTimer = window.setTimeout(() => (message.value = null), message.value.refused ? 20_000 : 8000);
});

// A tab in the background tells, too.
effect(() => {
  const abnormal = nodes.value.filter((n) => n.state !== "online").length;
  document.title = freshness.value === "dead" ? "edge: no data" : abnormal > 0 ? `edge: ${abnormal} not online` : "edge";
});

// CSS greys the page out by this attribute.
effect(() => {
  document.documentElement.dataset.fresh = freshness.value;
});
