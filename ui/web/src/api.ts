// Requests to the HTTP interface. A refusal becomes a Refused with the server's own words.

import type { Binding, Buckets, Client, Event, Outage, Sample, Gap, Metric, Status, Violations } from "./types";

export class Refused extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(path, { credentials: "same-origin", ...init });
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body as T;
  const error = (body as { error?: { code: string; message: string; hint: string } } | null)?.error;
  throw new Refused(error?.code ?? "http", error?.message ?? `the appliance answered ${answer.status}`, error?.hint ?? "");
}

const post = (path: string, body: object): Promise<unknown> =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

const part = encodeURIComponent;

// The first metrics, as many as limit. An answer with long values ends early, so it reads on, a few answers and no more.
export async function getMetrics(limit: number): Promise<Metric[]> {
  const all: Metric[] = [];
  let after = "";
  for (let answers = 0; answers < 4 && all.length < limit; answers++) {
    const page = await ask<{ metrics: Metric[]; next: string | null }>(`/api/v1/metrics?limit=${limit - all.length}${after}`);
    all.push(...page.metrics);
    if (page.next === null) break;
    after = `&after=${part(page.next)}`;
  }
  return all;
}

export const getEvents = (query: string): Promise<{ events: Event[]; next: string | null }> => ask(`/api/v1/events?${query}`);

export const getClients = (): Promise<Client[]> => ask("/api/v1/clients");

export const getStatus = (): Promise<Status> => ask("/api/v1/status");

export const getViolations = (): Promise<Violations> => ask("/api/v1/violations");

export const getBindings = (): Promise<Binding[]> => ask("/api/v1/bindings");

export const postForget = (name: string): Promise<unknown> => post("/api/v1/bindings/forget", { name });

export const getOutages = (uplink: string): Promise<Outage[]> => ask(`/api/v1/uplinks/${part(uplink)}/outages`);

export const getTrend = (source: "edge" | "scada", id: string, from: number, to: number, points: number): Promise<Buckets> =>
  ask(`/api/v1/${source === "edge" ? "history" : "demo/history"}?id=${part(id)}&from=${Math.round(from)}&to=${Math.round(to)}&points=${points}`);

export const getSamples = (id: string, from: number, to: number): Promise<{ samples: Sample[]; gaps: Gap[]; next: string | null }> =>
  ask(`/api/v1/history?id=${part(id)}&from=${Math.round(from)}&to=${Math.round(to)}&limit=500`);

export const postRebirth = (group: string, node: string): Promise<unknown> => post(`/api/v1/nodes/${part(group)}/${part(node)}/rebirth`, {});

export const postDemo = (action: string, node?: string, fault?: string): Promise<unknown> => post(`/api/v1/demo/${action}`, node === undefined ? {} : { node, fault });
