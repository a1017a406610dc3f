import assert from "node:assert/strict";
import test from "node:test";
import { deviceKey, flatten, groupKey, nodeKey } from "./tree";
import type { Metric, Node } from "./types";

const metric = (node: string, device: string, name: string): Metric => ({
  id: `${node}/${device}/${name}`, group: "g", node, device, name, alias: null, datatype: "Double", unit: "", low: null, high: null,
  value: 1, quality: "good", time: null, received: null, cause: "",
});

const node = (name: string, state: Node["state"], devices: string[]): Node => ({
  group: "g", node: name, state, reason: "", since: null, since_received: null, bd_seq: 0, seq: 0, last_birth: null, last_birth_received: null, last_death: null, metrics: 1,
  devices: devices.map((device) => ({ device, state, reason: "", since: null, since_received: null, metrics: 1, why: [] })),
  rebirths: { asked: 0, answered: 0, causes: {} }, gaps: 0, client: null, why: [], warnings: [], clock_skew_ms: 0,
});

const nodes = [node("oven", "online", ["fan"]), node("press", "offline", [])];
const metrics = [metric("oven", "", "Up"), metric("oven", "fan", "Speed"), metric("press", "", "Up")];
const names = (open: string[], filter = "") => flatten(nodes, metrics, new Set(open), filter).map((r) => `${r.level} ${r.name}`);

test("closed, only the group is there, and tells what is not online", () => {
  assert.deepEqual(names([]), ["1 g"]);
  const [g] = flatten(nodes, metrics, new Set(), "");
  assert.ok(g?.kind === "group" && g.total === 2 && g.offline === 1);
});

test("open branches show their members in the server's order", () => {
  assert.deepEqual(names([groupKey("g")]), ["1 g", "2 oven", "2 press"]);
  assert.deepEqual(names([groupKey("g"), nodeKey("g", "oven")]), ["1 g", "2 oven", "3 fan", "3 Up", "2 press"]);
  assert.deepEqual(names([groupKey("g"), nodeKey("g", "oven"), deviceKey("g", "oven", "fan")]), ["1 g", "2 oven", "3 fan", "4 Speed", "3 Up", "2 press"]);
});

test("a filter opens what leads to its hits and hides the rest", () => {
  assert.deepEqual(names([], "speed"), ["1 g", "2 oven", "3 fan", "4 Speed"]);
  assert.deepEqual(names([], "press/"), ["1 g", "2 press", "3 Up"]);
  assert.deepEqual(names([], "nothing"), []);
});

test("20,000 metrics are flattened within one frame's work", () => {
  const many = Array.from({ length: 20_000 }, (_, i) => metric("oven", "fan", `m${i}`));
  const open = new Set([groupKey("g"), nodeKey("g", "oven"), deviceKey("g", "oven", "fan")]);
  assert.equal(flatten(nodes, many, open, "").length, 20_004);
});
