import assert from "node:assert/strict";
import test from "node:test";
import * as f from "./format";

test("values keep their digits in place", () => {
  const cases: [number, string][] = [
    [0, "0.000"],
    [1.5, "1.500"],
    [-9.9999, "-10.000"],
    [182.349, "182.35"],
    [1450, "1450.0"],
    [0.0000123, "1.230e-5"],
    [2.5e9, "2500000000"],
    [1.5e16, "1.500e+16"],
    [NaN, "NaN"],
  ];
  for (const [n, want] of cases) assert.equal(f.measured(n), want, String(n));
});

test("values of every kind", () => {
  assert.equal(f.value(null), "–");
  assert.equal(f.value(true), "true");
  assert.equal(f.value("18446744073709551615", "UInt64"), "18446744073709551615");
  assert.equal(f.value("Infinity", "Double"), "Infinity");
  assert.equal(f.value(7, "Int32"), "7");
  assert.equal(f.value([1, 2]), "[1,2]");
});

test("a DateTime is a time of day, with its day when that is not today", () => {
  assert.ok(/^(02|01|03) May \d\d:\d\d:06$/.test(f.value("2026-05-02T12:34:06.000Z", "DateTime")) || /^May 0\d \d\d:\d\d:06$/.test(f.value("2026-05-02T12:34:06.000Z", "DateTime")));
  assert.equal(f.value("253402300800000", "DateTime"), "253402300800000", "after the year 9999");
});

test("control characters are shown, not obeyed", () => {
  assert.equal(f.value("a\u0000b\u202ec\nd"), "a\\u0000b\\u202ec\\u000ad");
});

test("long text is cut", () => {
  assert.equal(f.value("x".repeat(5000)).length, 201);
});

test("durations have two units at most", () => {
  const cases: [number, string][] = [
    [-1, "0 s"],
    [4.9, "4 s"],
    [65, "1 min 05 s"],
    [3600, "1 h 00 min"],
    [7805, "2 h 10 min"],
    [90000, "1 d 1 h"],
    [NaN, "–"],
  ];
  for (const [s, want] of cases) assert.equal(f.duration(s), want);
});

test("ages", () => {
  const now = Date.parse("2026-05-01T12:00:00.000Z");
  assert.equal(f.age("2026-05-01T11:59:58.500Z", now), "1 s");
  assert.equal(f.age("2026-05-01T09:00:00.000Z", now), "3 h");
  assert.equal(f.age("2026-05-01T12:00:05.000Z", now), "0 s", "a clock that is ahead");
  assert.equal(f.age(null, now), "–");
});

test("a node's own time is told where its clock is wrong", () => {
  const here = "2026-05-01T12:00:00.000Z";
  const cases: [string | null, string | null, boolean][] = [
    ["2026-05-01T12:00:59.000Z", here, false],
    ["2026-05-01T14:00:00.000Z", here, true],
    ["2020-01-01T00:00:00.000Z", here, true],
    ["2026-05-01T14:00:00.000Z", null, false],
    [null, here, false],
  ];
  for (const [own, received, want] of cases) assert.equal(f.ownTime(own, received).startsWith("its clock: "), want, `${own} ${received}`);
});

test("a lost uplink stands out, a restored one does not", () => {
  const cases: [string, string, boolean][] = [
    ["node_death", "", true],
    ["node_birth", "", false],
    ["uplink", "uplink enterprise lost: connection refused", true],
    ["uplink", "uplink enterprise restored", false],
    ["uplink", "uplink enterprise: outage from 10:00 to 10:05: 7 owed, 7 delivered; the connection was lost", false],
  ];
  for (const [kind, reason, want] of cases) assert.equal(f.abnormalEvent({ kind, reason }), want, `${kind} ${reason}`);
});

test("counts are grouped", () => {
  assert.equal(f.count(12431), "12,431");
});

test("the times of a reason are the reader's", () => {
  const day = new Date(2026, 7, 6, 14, 2, 11);
  const text = `device D1 dead since ${day.toISOString().replace(".000", "")}: its will fired`;
  assert.equal(f.reason(text, day.getTime() + 1000), "device D1 dead since 14:02:11: its will fired");
  assert.equal(f.reason("no time"), "no time");
});

test("what a fault must show reads as words", () => {
  assert.equal(f.shows("“\"metrics\":50*” metrics of the node itself"), "“metrics 50…” metrics of the node itself");
  assert.equal(f.shows("“\"state\":\"offline\"” for a while"), "“state offline” for a while");
  assert.equal(f.shows("“bd_seq\":0” in every session"), "“bd_seq 0” in every session");
  assert.equal(f.shows("“sequence gap: expected * got *”, a rebirth"), "“sequence gap: expected … got …”, a rebirth");
});

test("bytes of a disk", () => {
  const cases: [number, string][] = [[41323044864, "38 GiB"], [1610612736, "1.5 GiB"], [12 << 20, "12 MiB"], [20480, "20 KiB"], [0, "0 KiB"]];
  for (const [n, want] of cases) assert.equal(f.bytes(n), want);
});

test("labels of an axis differ where their values do", () => {
  const cases: [number, string][] = [[2497650.2, "2497650.2"], [12597696, "12597696"], [12597697, "12597697"], [0.1 + 0.2, "0.3"], [0, "0"], [-62.5, "-62.5"], [0.00012, "1.2e-4"], [3e13, "3.0e+13"]];
  for (const [n, want] of cases) assert.equal(f.axisLabel(n), want);
});
