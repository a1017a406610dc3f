// The tag tree as a flat list of rows: group, node, device, metric. Pure; tree.test.ts holds the examples.

import type { Metric, Node, NodeState } from "./types";

export type Row =
  | { kind: "group"; key: string; level: 1; name: string; open: boolean; total: number; offline: number }
  | { kind: "node"; key: string; level: 2; name: string; open: boolean; state: NodeState; total: number }
  | { kind: "device"; key: string; level: 3; name: string; open: boolean; state: NodeState; total: number }
  | { kind: "metric"; key: string; level: 3 | 4; name: string; metric: Metric };

export const groupKey = (g: string): string => "g:" + g;
export const nodeKey = (g: string, n: string): string => `n:${g}/${n}`;
export const deviceKey = (g: string, n: string, d: string): string => `d:${g}/${n}/${d}`;

// Nodes and metrics come in the server's order and keep it. With a filter only metrics whose name, device or
// node holds it are shown, and everything that leads to them is open.
export function flatten(nodes: Node[], metrics: Metric[], open: ReadonlySet<string>, filter: string): Row[] {
  const needle = filter.trim().toLowerCase();
  const hits = new Set<string>(); // nodes
  const members = new Map<string, Metric[]>(); // by device; a node's own are those of the device ""
  for (const m of metrics) {
    if (needle && !`${m.node}/${m.device}/${m.name}`.toLowerCase().includes(needle)) continue;
    hits.add(nodeKey(m.group, m.node));
    const key = deviceKey(m.group, m.node, m.device);
    const list = members.get(key);
    if (list) list.push(m);
    else members.set(key, [m]);
  }
  const rows: Row[] = [];
  for (const group of [...new Set(nodes.map((n) => n.group))]) {
    const inside = nodes.filter((n) => n.group === group && (!needle || hits.has(nodeKey(n.group, n.node))));
    if (inside.length === 0) continue;
    const groupOpen = needle !== "" || open.has(groupKey(group));
    rows.push({ kind: "group", key: groupKey(group), level: 1, name: group, open: groupOpen, total: inside.length, offline: inside.filter((n) => n.state !== "online").length });
    if (groupOpen) for (const n of inside) nodeRows(rows, n, members, open, needle);
  }
  return rows;
}

function nodeRows(rows: Row[], n: Node, members: ReadonlyMap<string, Metric[]>, open: ReadonlySet<string>, needle: string): void {
  const key = nodeKey(n.group, n.node);
  const total = n.metrics + n.devices.reduce((sum, d) => sum + d.metrics, 0);
  const isOpen = needle !== "" || open.has(key);
  rows.push({ kind: "node", key, level: 2, name: n.node, open: isOpen, state: n.state, total });
  if (!isOpen) return;
  for (const d of n.devices) {
    const dkey = deviceKey(n.group, n.node, d.device);
    const own = members.get(dkey) ?? [];
    if (needle && own.length === 0) continue;
    const dopen = needle !== "" || open.has(dkey);
    rows.push({ kind: "device", key: dkey, level: 3, name: d.device, open: dopen, state: d.state, total: d.metrics });
    if (dopen) for (const m of own) rows.push({ kind: "metric", key: "m:" + m.id, level: 4, name: m.name, metric: m });
  }
  for (const m of members.get(deviceKey(n.group, n.node, "")) ?? []) rows.push({ kind: "metric", key: "m:" + m.id, level: 3, name: m.name, metric: m });
}
