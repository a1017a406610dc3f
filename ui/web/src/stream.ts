// The live stream: one EventSource for the page. It is opened anew when the page wants other metrics, after an
// error, and after the tab was hidden; each time the server sends a snapshot before anything live.

import { effect } from "@preact/signals";
import { getEvents } from "./api";
import * as store from "./store";
import type { Change, Demo, Event, Node, Snapshot, Uplink } from "./types";

const hiddenLimit = 30_000; // ms that a hidden tab keeps its stream
const settle = 150; // ms that what is wanted must rest before the stream is opened anew
const deadAfter = 12_000; // ms without a heartbeat after which a connection that does not fail is given up
const retryMax = 10_000; // ms

let source: EventSource | null = null;
let timer = 0;
let retry = 500;
let openedFor = "";
let hiddenTimer = 0;

export function startStream(): void {
  effect(() => {
    const query = store.wanted.value;
    const on = !store.paused.value;
    schedule(on, source && query !== openedFor ? settle : 0);
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = window.setTimeout(close, hiddenLimit);
    else if (!source && !store.paused.value) open();
  });
  setInterval(watch, 1000);
}

function schedule(on: boolean, delay: number): void {
  clearTimeout(timer);
  if (!on) close();
  else timer = window.setTimeout(open, delay);
}

function close(): void {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function watch(): void {
  if (source && Date.now() - store.lastHeard.peek() > deadAfter && store.lastHeard.peek() > 0 && retryAt < Date.now()) again();
}

let retryAt = 0;

function again(): void {
  close();
  retryAt = Date.now() + retry;
  timer = window.setTimeout(open, retry);
  retry = Math.min(retry * 2, retryMax);
}

function open(): void {
  close();
  openedFor = store.wanted.peek();
  const s = new EventSource(`/api/v1/stream${openedFor ? "?" + openedFor : ""}`);
  source = s;
  retryAt = Date.now() + deadAfter;
  const on = <T>(name: string, take: (data: T) => void) =>
    s.addEventListener(name, (e) => {
      if (source !== s) return;
      store.lastHeard.value = store.now.value = Date.now();
      take(JSON.parse((e as MessageEvent<string>).data) as T);
    });
  on<Snapshot>("snapshot", (d) => {
    retry = 500;
    store.clockOffset.value = Date.parse(d.time) - Date.now();
    store.applySnapshot(d);
    void loadEvents();
  });
  on<{ metrics: Change[] }>("change", (d) => store.applyChanges(d.metrics));
  on<Node>("state", store.applyNode);
  on<Uplink[]>("uplinks", (d) => {
    const states = (list: Uplink[]) => list.map((u) => u.name + u.state).join();
    const turned = states(d) !== states(store.uplinks.peek());
    store.uplinks.value = d;
    if (turned) void loadEvents(); // an uplink writes its events to the log itself
  });
  on<Demo>("demo", (d) => (store.demo.value = d));
  on<Event>("event", gather);
  on<{ time: string; lost: number }>("heartbeat", (d) => {
    store.clockOffset.value = Date.parse(d.time) - Date.now();
    if (d.lost > 0) void loadEvents();
  });
  s.onerror = () => {
    if (source === s) again();
  };
}

// Events of one flush are shown together: a plant that falls over sends hundreds.
let gathered: Event[] = [];

function gather(e: Event): void {
  if (gathered.push(e) > 1) return;
  setTimeout(() => {
    const list = gathered;
    gathered = [];
    store.addEvents(list);
    // A birth may bring metrics that the snapshot did not hold.
    const born = list.some((o) => o.kind === "node_birth" || o.kind === "device_birth");
    if (born && store.wanted.peek().includes("nodes=") && !store.paused.peek()) schedule(true, settle);
  }, 30);
}

// The newest events, for what happened while no stream was open.
async function loadEvents(): Promise<void> {
  try {
    store.addEvents((await getEvents("limit=200")).events);
  } catch {
    // the event view says that it is empty; the stream's own state is shown in the header
  }
}
