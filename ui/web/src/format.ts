// How values, times and amounts are written on the page. Pure; format.test.ts holds the examples.

import type { Event, Time, Value } from "./types";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const count = (n: number): string => whole.format(n);

// Six significant digits, no exponent between 1e-4 and 1e7.
export function decimal(n: number): string {
  if (!Number.isFinite(n)) return String(n);
  const a = Math.abs(n);
  if (Number.isInteger(n) && a < 1e15) return String(n);
  if (a !== 0 && (a < 1e-4 || a >= 1e7)) return n.toExponential(3);
  return String(Number(n.toPrecision(6)));
}

// A measured value keeps its last digits in place while it moves: 3 decimals below 10, 2 below 1000, else 1.
export function measured(n: number): string {
  if (!Number.isFinite(n)) return String(n);
  const a = Math.abs(n);
  if (a !== 0 && (a < 1e-3 || a >= 1e7)) return decimal(n);
  return n.toFixed(a < 10 ? 3 : a < 1000 ? 2 : 1);
}

// A label of a trend's axis. Its neighbours may differ from it in the eighth digit, as those of a counter do.
export function axisLabel(n: number): string {
  const a = Math.abs(n);
  if (a >= 1e12 || (a !== 0 && a < 1e-3)) return n.toExponential(1);
  return String(Number(n.toPrecision(12)));
}

const maxText = 200;

export function value(v: Value, datatype = ""): string {
  if (v === null) return "–";
  if (typeof v === "number") return datatype === "Float" || datatype === "Double" ? measured(v) : decimal(v);
  if (typeof v === "boolean") return v ? "true" : "false";
  if (datatype === "DateTime" && !Number.isNaN(parse(String(v)))) return clock(String(v));
  const s = typeof v === "string" ? v : JSON.stringify(v);
  // Control characters are shown, not obeyed.
  const shown = s.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return shown.length > maxText ? shown.slice(0, maxText) + "…" : shown;
}

export function parse(t: Time | undefined): number {
  return t ? Date.parse(t) : NaN;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { month: "short", day: "2-digit" });

// Time of day, with the day when it is another one.
export function clock(t: Time | undefined, now = Date.now()): string {
  const ms = parse(t);
  if (Number.isNaN(ms)) return "–";
  const d = new Date(ms);
  const time = clockFormat.format(d);
  return d.toDateString() === new Date(now).toDateString() ? time : `${dayFormat.format(d)} ${time}`;
}

// What a node's own clock said, where it is more than a minute off from ours: "its clock: 16:02:11". Else nothing.
export const ownTime = (own: Time | undefined, received: Time | undefined, now = Date.now()): string =>
  Math.abs(parse(own) - parse(received)) > 60_000 ? `its clock: ${clock(own, now)}` : "";

// A reason as the appliance says it, its times in UTC made times of the reader's day.
export const reason = (text: string, now = Date.now()): string => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, (t) => clock(t, now));

// What a fault must show, without the marks of JSON: “"metrics":50*” is “metrics 50…”.
export const shows = (text: string): string => text.replace(/“"?(\w+)":"?([^"”]*)"?”/g, "“$1 $2”").replaceAll("*", "…");

// Bytes of a disk: 386 GiB, 1.5 GiB, 12 MiB, 20 KiB.
export function bytes(n: number): string {
  if (n < 2 ** 20) return `${count(n / 2 ** 10)} KiB`;
  const gib = n / 2 ** 30;
  return gib >= 10 ? `${count(gib)} GiB` : gib >= 1 ? `${gib.toFixed(1)} GiB` : `${count(n / 2 ** 20)} MiB`;
}

// Two units at most: 4 s, 3 min 05 s, 2 h 10 min, 5 d 3 h.
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// One unit, for narrow columns: 4 s, 3 min, 2 h, 5 d.
export function age(t: Time | undefined, now: number): string {
  const ms = parse(t);
  if (Number.isNaN(ms)) return "–";
  const s = Math.max(0, Math.floor((now - ms) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export function rate(perSecond: number): string {
  return perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond));
}

const kinds: Record<string, string> = {
  node_birth: "birth",
  node_death: "death",
  device_birth: "device birth",
  device_death: "device death",
  seq_gap: "sequence gap",
  rebirth_asked: "rebirth asked",
  rebirth_done: "rebirth done",
  command: "command",
  uplink: "uplink",
  clock: "clock",
  gap: "data gap",
  system: "system",
  client: "client",
};

export const eventKinds = Object.keys(kinds);
export const kindWord = (kind: string): string => kinds[kind] ?? kind;

// Events that an operator should notice among the others.
export const abnormalEvent = (e: Pick<Event, "kind" | "reason">): boolean =>
  ["node_death", "device_death", "seq_gap", "gap", "clock"].includes(e.kind) || (e.kind === "uplink" && /^uplink [^:]+ lost\b/.test(e.reason));

export function place(e: Pick<Event, "group" | "node" | "device">): string {
  return [e.group, e.node, e.device].filter(Boolean).join("/");
}

// What an uplink's state means, for someone who does not know Sparkplug.
const uplinkWords: Record<string, string> = {
  idle: "idle",
  connecting: "connecting",
  wait_state: "waiting for primary host",
  birthing: "sending births",
  live: "live",
  flushing: "catching up",
  dying: "closing",
  down: "down",
};

export const uplinkWord = (state: string): string => uplinkWords[state] ?? state;
export const uplinkNormal = (state: string): boolean => state === "live" || state === "idle";
