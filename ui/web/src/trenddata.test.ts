import assert from "node:assert/strict";
import test from "node:test";
import { trendData, yRange } from "./trenddata";
import type { Bucket, Buckets, Gap } from "./types";

const at = (s: number): string => new Date(s * 1000).toISOString();

function bucket(s: number, v: number | null, carried: number | null = null): Bucket {
  return { t: at(s), min: v, max: v, mean: v ?? carried, last: v, count: v === null ? 0 : 1, quality: "good" };
}

function buckets(list: Bucket[], gaps: Gap[] = [], from = 0, to = list.length * 10): Buckets {
  return { id: "x", from: at(from), to: at(to), buckets: list, gaps };
}

// [second, value] pairs, rounded to whole seconds but for the point just before a gap.
const points = (b: Buckets): [number, number | null][] => {
  const d = trendData(b);
  return d.x.map((x, i) => [Math.round(x), d.y[i]!]);
};

test("a line through every bucket, held to the end", () => {
  assert.deepEqual(points(buckets([bucket(0, 1), bucket(10, 2)])), [[0, 1], [10, 2], [20, 2]]);
});

test("an empty bucket repeats what was carried in: report by exception is no gap", () => {
  assert.deepEqual(points(buckets([bucket(0, 1), bucket(10, null, 1), bucket(20, 3)])), [[0, 1], [10, 1], [20, 3], [30, 3]]);
});

test("what no server carried in is held from the bucket before", () => {
  assert.deepEqual(points(buckets([bucket(0, 1), bucket(10, null), bucket(20, 3)])), [[0, 1], [10, 1], [20, 3], [30, 3]]);
});

test("nothing is drawn before the first value", () => {
  assert.deepEqual(points(buckets([bucket(0, null), bucket(10, 2)])), [[0, null], [10, 2], [20, 2]]);
});

test("a gap breaks the line where it begins and ends", () => {
  const b = buckets([bucket(0, 1), bucket(10, 2), bucket(20, null, 2), bucket(30, null, 2), bucket(40, 5)], [{ from: at(14), to: at(42), cause: "died" }]);
  assert.deepEqual(points(b), [[0, 1], [10, 2], [14, 2], [14, null], [42, 5], [50, 5]]);
});

test("a gap shorter than a bucket still breaks the line", () => {
  const b = buckets([bucket(0, 1), bucket(10, 2), bucket(20, 3)], [{ from: at(13), to: at(15), cause: "died" }]);
  const d = trendData(b);
  assert.equal(d.gaps.length, 1);
  assert.ok(d.y.includes(null));
});

test("a gap that lasts reaches the end, and nothing is drawn in it", () => {
  const b = buckets([bucket(0, 1), bucket(10, null, 1), bucket(20, null, 1)], [{ from: at(5), to: null, cause: "died" }]);
  const d = trendData(b);
  assert.deepEqual(d.gaps, [{ from: 5000, to: 30000, cause: "died", open: true }]);
  assert.equal(d.y.at(-1), null);
});

test("gaps that overlap are one; those outside are none", () => {
  const b = buckets([bucket(0, 1), bucket(10, 1)], [
    { from: at(-100), to: at(-50), cause: "before" },
    { from: at(2), to: at(8), cause: "a" },
    { from: at(6), to: at(9), cause: "b" },
  ]);
  assert.deepEqual(trendData(b).gaps, [{ from: 2000, to: 9000, cause: "a; b", open: false }]);
});

test("times ascend whatever the gaps are", () => {
  let seed = 7;
  const random = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let round = 0; round < 500; round++) {
    const list = Array.from({ length: 1 + random(20) }, (_, i) => bucket(i * 10, random(3) === 0 ? null : random(100), random(2) === 0 ? null : 1));
    const gaps = Array.from({ length: random(4) }, () => {
      const from = random(220) - 10;
      return { from: at(from), to: random(4) === 0 ? null : at(from + random(60)), cause: "x" };
    });
    const d = trendData(buckets(list, gaps));
    assert.equal(d.x.length, d.y.length);
    for (let i = 1; i < d.x.length; i++) assert.ok(d.x[i]! > d.x[i - 1]!, `round ${round}`);
    for (const g of d.gaps) assert.ok(g.to > g.from);
    // No point inside a gap has a value.
    d.x.forEach((x, i) => assert.ok(d.y[i] === null || !d.gaps.some((g) => x * 1000 >= g.from && x * 1000 < g.to), `round ${round}: ${x}`));
  }
});

test("a spike of one sample is in the range at every zoom", () => {
  const spiky: Bucket = { t: at(10), min: 1, max: 900, mean: 2, last: 1, count: 600, quality: "good" };
  const [low, high] = yRange(trendData(buckets([bucket(0, 1), spiky])));
  assert.ok(high > 900 && low < 1);
});

test("values that are no numbers are no points", () => {
  const b: Bucket = { t: at(0), min: "NaN", max: "NaN", mean: "NaN", last: "Infinity", count: 3, quality: "good" };
  const d = trendData(buckets([b]));
  assert.deepEqual(d.y.filter((v) => v !== null), []);
  assert.deepEqual(yRange(d), [0, 1]);
});
