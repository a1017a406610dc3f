// Turns the server's buckets and gaps into what the chart draws. Pure; trenddata.test.ts holds the examples.

import type { Buckets, Num } from "./types";

export interface GapSpan {
  from: number; // ms
  to: number;
  cause: string;
  open: boolean; // it lasts
}

export interface Column {
  from: number; // ms
  to: number;
  min: number;
  max: number;
}

export interface TrendData {
  from: number; // ms
  to: number;
  x: number[]; // seconds, ascending
  y: (number | null)[]; // the last value, stepped; null breaks the line
  band: Column[];
  gaps: GapSpan[];
}

export function finite(n: Num): number | null {
  return typeof n === "number" ? n : null;
}

// A bucket without samples repeats the value carried in: a device that reports by exception says nothing
// while nothing changes. Only a gap breaks the line, and nothing is drawn across it.
export function trendData(b: Buckets): TrendData {
  const from = Date.parse(b.from);
  const to = Date.parse(b.to);
  const gaps = mergeGaps(b, from, to);
  const out: TrendData = { from, to, x: [], y: [], band: [], gaps };
  const width = b.buckets.length > 1 ? Date.parse(b.buckets[1]!.t) - Date.parse(b.buckets[0]!.t) : to - from;
  let next = 0; // the first gap that the line has not come to
  let held: number | null = null;
  const point = (ms: number, v: number | null) => {
    const x = ms / 1000;
    if (out.x.length > 0 && x <= out.x[out.x.length - 1]!) return;
    out.x.push(x);
    out.y.push(v);
  };
  for (const bucket of b.buckets) {
    const t = Date.parse(bucket.t);
    for (; next < gaps.length && gaps[next]!.from < t + width; next++) {
      const gap = gaps[next]!;
      if (gap.from > t) {
        const before: number | null = finite(bucket.last) ?? finite(bucket.mean) ?? held;
        point(t, before);
        point(gap.from - 1, before);
      } else if (held !== null) {
        point(gap.from - 1, held);
      }
      point(gap.from, null);
      held = null;
    }
    const inGap = gaps.some((g) => t >= g.from && t < g.to);
    const v: number | null = finite(bucket.last) ?? finite(bucket.mean);
    const min = finite(bucket.min);
    const max = finite(bucket.max);
    if (bucket.count > 0 && min !== null && max !== null) {
      out.band.push({ from: t, to: Math.min(t + width, to), min, max });
      // A bucket that a gap ends in: its samples came after the gap.
      const ending = gaps.find((g) => t >= g.from && t < g.to && g.to < t + width);
      point(ending ? ending.to : t, inGap && !ending ? null : v);
      held = inGap && !ending ? null : v;
    } else if (!inGap) {
      held = v ?? held; // a server that carries nothing in leaves it to us
      point(t, held);
    }
  }
  if (held !== null && !gaps.some((g) => g.to >= to)) point(to, held);
  return out;
}

// Gaps clipped to the range, in order, overlapping ones joined.
function mergeGaps(b: Buckets, from: number, to: number): GapSpan[] {
  const spans = b.gaps
    .map((g) => ({ from: Math.max(Date.parse(g.from), from), to: g.to ? Math.min(Date.parse(g.to), to) : to, cause: g.cause, open: g.to === null }))
    .filter((g) => g.to > g.from)
    .sort((p, q) => p.from - q.from);
  const out: GapSpan[] = [];
  for (const g of spans) {
    const last = out[out.length - 1];
    if (last && g.from <= last.to) {
      last.to = Math.max(last.to, g.to);
      last.open ||= g.open;
      if (!last.cause.includes(g.cause)) last.cause += "; " + g.cause;
    } else {
      out.push(g);
    }
  }
  return out;
}

// The value range to show, with 5 % of air, never empty.
export function yRange(d: TrendData): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const v of d.y) {
    if (v === null) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  for (const c of d.band) {
    low = Math.min(low, c.min);
    high = Math.max(high, c.max);
  }
  if (low > high) return [0, 1];
  const air = (high - low) * 0.05 || Math.max(Math.abs(high) * 0.05, 0.5);
  return [low - air, high + air];
}
