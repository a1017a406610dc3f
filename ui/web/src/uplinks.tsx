// The uplinks: what is owed to the enterprise, since when, how fast it goes, and what every outage came to.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getOutages } from "./api";
import * as f from "./format";
import { StateWord } from "./shapes";
import { serverNow, uplinks } from "./store";
import type { Outage, Uplink } from "./types";

const reports = signal<Record<string, Outage[]>>({});

async function load(name: string): Promise<void> {
  try {
    reports.value = { ...reports.value, [name]: await getOutages(name) };
  } catch {
    // shown as "no outage"; the uplink's own state stands above
  }
}

// Reports change when the uplink's state does, and while something is owed.
function useReports(u: Uplink): Outage[] {
  const busy = u.owed > 0 || (reports.value[u.name] ?? []).some((o) => o.to === null);
  useEffect(() => {
    void load(u.name);
    const timer = setInterval(() => void load(u.name), busy ? 2000 : 15000);
    return () => clearInterval(timer);
  }, [u.name, u.state, busy]);
  return reports.value[u.name] ?? [];
}

export function UplinkPanel() {
  return (
    <section class="panel uplinks" aria-labelledby="uplinks-title">
      <header>
        <h2 id="uplinks-title">Uplink</h2>
        <span class="grow" />
        <a class="button quiet" href="#/uplinks">
          Details
        </a>
      </header>
      {uplinks.value.length === 0 && <p class="empty">No uplink is configured: everything stays in the appliance.</p>}
      {uplinks.value.map((u) => (
        <Summary key={u.name} u={u} last={1} />
      ))}
    </section>
  );
}

// last: how many reports are shown; the panel of the overview has room for one, and for the uplink's name.
function Summary({ u, last }: { u: Uplink; last: number }) {
  const list = useReports(u);
  return (
    <div class={`uplink up-${u.state}`} data-uplink={u.name} data-state={u.state} data-owed={u.owed}>
      <div class="uplink-head">
        {last === 1 && <strong>{u.name}</strong>}
        <StateWord state={u.state} word={f.uplinkWord(u.state)} />
        <span class="dim">since {f.clock(u.since, serverNow.value)}</span>
      </div>
      <p class="reason" title={u.reason}>
        {u.reason || (last === 1 ? u.server : "")}
      </p>
      <dl class="figures">
        <div>
          <dt>owed</dt>
          <dd class={u.owed > 0 && !f.uplinkNormal(u.state) ? "noteworthy" : ""}>{f.count(u.owed)}</dd>
        </div>
        <div>
          <dt>oldest</dt>
          <dd>{f.age(u.oldest, serverNow.value)}</dd>
        </div>
        <div>
          <dt>per second</dt>
          <dd>{f.rate(u.rate)}</dd>
        </div>
        <div>
          <dt>drained in</dt>
          <dd>{drain(u)}</dd>
        </div>
      </dl>
      <Drops u={u} />
      <Outages list={list.slice(0, last)} />
    </div>
  );
}

function drain(u: Uplink): string {
  if (u.owed === 0) return "0 s";
  const flows = u.state === "live" || u.state === "flushing";
  return u.eta === null || !flows ? "growing" : f.duration(u.eta);
}

function Drops({ u }: { u: Uplink }) {
  const list = Object.entries(u.drops).filter(([, n]) => n > 0);
  if (list.length === 0) return null;
  return <p class="noteworthy">given up: {list.map(([reason, n]) => `${f.count(n)} ${reason}`).join(", ")}</p>;
}

function Outages({ list }: { list: Outage[] }) {
  if (list.length === 0) return <p class="dim">No outage on record.</p>;
  return (
    <ul class="outages">
      {list.map((o) => (
        <li key={o.id} data-outage={o.id} data-owed={o.owed} data-delivered={o.delivered} data-gaps={o.gaps.length} data-done={o.to !== null}>
          <Balance o={o} />
          <span class="dim">
            {f.clock(o.from, serverNow.value)} to {o.restored ? f.clock(o.restored, serverNow.value) : "now"}
            {o.restored ? ` (${f.duration((f.parse(o.restored) - f.parse(o.from)) / 1000)})` : ""}: {o.cause}
          </span>
        </li>
      ))}
    </ul>
  );
}

// "owed 12,431 = delivered 12,431, gaps 0": the sentence that closes an outage.
function Balance({ o }: { o: Outage }) {
  if (o.restored === null) return <strong class="noteworthy">outage lasts</strong>;
  const settled = o.owed === o.delivered + o.waived;
  const sign = settled ? "=" : o.to === null ? ">" : "≠";
  return (
    <strong class={settled && o.gaps.length === 0 ? "" : o.to === null ? "" : "noteworthy"}>
      owed {f.count(o.owed)} {sign} delivered {f.count(o.delivered)}
      {o.waived > 0 ? ` + given up ${f.count(o.waived)}` : ""}, gaps {o.gaps.length}
      {o.duplicated > 0 ? `, perhaps twice ${f.count(o.duplicated)}` : ""}
    </strong>
  );
}

export function UplinkView() {
  return (
    <div class="uplink-view" data-view="uplinks">
      {uplinks.value.length === 0 && <p class="empty panel">No uplink is configured: everything stays in the appliance.</p>}
      {uplinks.value.map((u) => (
        <section class="panel" key={u.name}>
          <header>
            <h2>{u.name}</h2>
            <span class="dim">{u.server}</span>
          </header>
          <Summary u={u} last={50} />
          <table class="grid">
            <thead>
              <tr>
                <th>node</th>
                <th>state</th>
                <th>since</th>
                <th class="num">bdSeq</th>
                <th class="num">owed</th>
                <th class="num">delivered up to</th>
                <th>reason</th>
              </tr>
            </thead>
            <tbody>
              {u.nodes.map((n) => (
                <tr key={`${n.group}/${n.node}`} data-uplink-node={`${n.group}/${n.node}`} data-state={n.state}>
                  <td>
                    {n.group}/{n.node}
                  </td>
                  <td>
                    <StateWord state={n.state} word={f.uplinkWord(n.state)} />
                  </td>
                  <td>{f.clock(n.since, serverNow.value)}</td>
                  <td class="num">{n.bd_seq ?? "–"}</td>
                  <td class="num">{f.count(n.owed)}</td>
                  <td class="num">{f.count(n.cursor)}</td>
                  <td>{n.reason === n.state ? "" : n.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ))}
    </div>
  );
}
