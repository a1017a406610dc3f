// The JSON of the HTTP interface, as web/openapi.yaml describes it. Times are RFC 3339 in UTC, null for never.

export type Time = string | null;
export type NodeState = "online" | "offline" | "unknown";
export type Quality = "good" | "uncertain" | "stale" | "bad" | "null" | "never";
export type Value = null | boolean | number | string | object;

// A line of a chain: the next one explains it. Its text has the time in UTC; format.ts makes it the reader's.
export interface Reason {
  kind: string;
  at: Time;
  text: string;
}

export interface Device {
  device: string;
  state: NodeState;
  reason: string;
  since: Time; // by the node's clock where it said so itself
  since_received: Time; // by the appliance's
  metrics: number;
  why: Reason[];
}

export interface Node {
  group: string;
  node: string;
  state: NodeState;
  reason: string;
  since: Time;
  since_received: Time;
  bd_seq: number | null;
  seq: number | null;
  last_birth: Time;
  last_birth_received: Time;
  last_death: { time: Time; reason: string } | null;
  metrics: number;
  devices: Device[];
  rebirths: { asked: number; answered: number; causes: Record<string, number> };
  gaps: number;
  client: { id: string; address: string; tls: boolean; user: string; certificate: string; protocol: string; connected: boolean } | null;
  why: Reason[];
  warnings: string[];
  clock_skew_ms: number;
}

export interface Live {
  value: Value;
  quality: Quality;
  time: Time;
  received: Time;
  cause: string;
}

export interface Metric extends Live {
  id: string;
  group: string;
  node: string;
  device: string;
  name: string;
  alias: number | null;
  datatype: string;
  unit: string;
  low: number | string | null;
  high: number | string | null;
}

export type Change = Live & { id: string };

export interface Event {
  id: string;
  kind: string;
  time: Time;
  received: Time;
  until: Time;
  group: string;
  node: string;
  device: string;
  reason: string;
  user: string;
  bd_seq: number | null;
  count: number;
}

export interface UplinkNode {
  group: string;
  node: string;
  state: string;
  reason: string;
  since: Time;
  bd_seq: number | null;
  cursor: number;
  owed: number;
}

export interface Uplink {
  name: string;
  state: string;
  reason: string;
  since: Time;
  server: string;
  owed: number;
  oldest: Time;
  rate: number;
  eta: number | null;
  drops: Record<string, number>;
  delivered: number;
  duplicated: number;
  nodes: UplinkNode[];
}

export interface Outage {
  id: number;
  from: Time;
  to: Time;
  restored: Time;
  cause: string;
  server: string;
  owed: number;
  delivered: number;
  duplicated: number;
  waived: number;
  gaps: { group: string; node: string; from: Time; to: Time; count: number; reason: string }[];
  nodes: { group: string; node: string; owed: number; delivered: number; deaths: { from: Time; to: Time }[] }[];
}

// A float that is NaN or infinite travels as a string.
export type Num = number | string | null;

export interface Bucket {
  t: string;
  min: Num;
  max: Num;
  mean: Num;
  last: Num;
  count: number;
  quality: Quality;
}

export interface Gap {
  from: string;
  to: Time;
  cause: string;
}

export interface Buckets {
  id: string;
  from: string;
  to: string;
  buckets: Bucket[];
  gaps: Gap[];
}

export interface Sample {
  t: string;
  v: Value;
  q: Quality;
}

export interface Demo {
  scada: {
    host: string;
    server: string;
    connected: boolean;
    since: Time;
    messages: number;
    samples: number;
    backfill: number;
    nodes: Node[];
  };
  cut: boolean;
  killed: string[];
  offered: { name: string; shows: string }[];
  faults: Record<string, string>; // by "group/node"
}

export interface Snapshot {
  generation: number;
  time: string;
  version: string;
  demo: boolean;
  commands: boolean;
  nodes: Node[];
  metrics: Metric[];
  uplinks: Uplink[];
}

export interface Client {
  id: string;
  user: string;
  address: string;
  listener: string;
  tls: boolean;
  protocol: string;
  connected: boolean;
  since: Time;
  keep_alive: number;
  inflight: number;
  queued: number;
  dropped: number;
  slow: boolean;
  received: { messages: number };
  sent: { messages: number };
  last_disconnect: { reason: string; at: Time; address: string } | null;
}

// What the page shows of GET /api/v1/status.
export interface Status {
  disk: { path: string; total_bytes: number; free_bytes: number } | null;
  warnings: string[];
  ready: { reasons: string[] };
  historian: { bytes: number; limit_bytes: number; space: "ok" | "warn" | "drop" | "low" | "full"; ballast_bytes: number };
  hosts: { host: string; online: boolean; since: Time; received: Time; client: string; legacy: boolean }[];
}

export interface Violation {
  first: Time;
  last: Time;
  count: number;
  rule: string;
  what: string;
  topic: string;
  detail: string;
  refused: boolean;
  client: string;
  user: string;
  address: string;
}

export interface Violations {
  mode: "off" | "observe" | "enforce";
  total: Record<string, number>;
  violations: Violation[];
}

export interface Binding {
  name: string;
  group: string;
  node: string;
  host: string;
  identity: string;
  client: string;
  address: string;
  since: Time;
  pinned: boolean;
}
