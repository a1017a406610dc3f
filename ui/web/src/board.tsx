// The state board: one tile per node, and the page of one node.

import type { ComponentChildren } from "preact";
import { postRebirth } from "./api";
import { confirm } from "./dialog";
import { EventList } from "./events";
import * as f from "./format";
import { StateShape, StateWord } from "./shapes";
import { canCommand, events, nodes, openKeys, serverNow } from "./store";
import { groupKey, nodeKey } from "./tree";
import type { Node, Reason } from "./types";

export const nodeHref = (n: { group: string; node: string }): string => `#/node/${encodeURIComponent(n.group)}/${encodeURIComponent(n.node)}`;

export function Board() {
  const list = nodes.value;
  const abnormal = list.filter((n) => n.state !== "online").length;
  return (
    <section class="panel board" aria-labelledby="board-title">
      <header>
        <h2 id="board-title">Plant nodes</h2>
        <span class="note" data-abnormal={abnormal}>
          {list.length} nodes{abnormal > 0 ? `, ${abnormal} not online` : ", all online"}
        </span>
      </header>
      {list.length === 0 ? <p class="empty">No node has been heard of yet. Point an edge node at this broker; its NBIRTH makes it appear here.</p> : null}
      <div class="tiles">
        {list.map((n) => (
          <Tile key={`${n.group}/${n.node}`} n={n} />
        ))}
      </div>
    </section>
  );
}

function Tile({ n }: { n: Node }) {
  const metrics = n.metrics + n.devices.reduce((sum, d) => sum + d.metrics, 0);
  return (
    <article class={`tile state-${n.state}`} data-node={`${n.group}/${n.node}`} data-state={n.state}>
      <a class="tile-head" href={nodeHref(n)} aria-label={`${n.group}/${n.node}, ${n.state}`}>
        <span class="name">{n.node}</span>
        <StateWord state={n.state} />
      </a>
      <p class="reason" title={chain(n.why) || n.reason}>
        {n.state === "online" ? `${n.group} · ${metrics} metrics` : n.reason || "not heard since the start"}
      </p>
      <Facts n={n} />
      <ul class="devices" aria-label="devices">
        {n.devices.map((d) => (
          <li key={d.device} data-device={`${n.group}/${n.node}/${d.device}`} data-state={d.state} title={chain(d.why) || `${d.device}: ${d.state}`}>
            <StateShape state={d.state} />
            {d.device}
            {d.state !== "online" && <span class="word"> {d.state}</span>}
          </li>
        ))}
      </ul>
    </article>
  );
}

function Facts({ n, children }: { n: Node; children?: ComponentChildren }) {
  const now = serverNow.value;
  return (
    <dl class="facts">
      <dt>since</dt>
      <dd>
        {f.clock(n.since_received, now)} <span class="dim">({f.ownTime(n.since, n.since_received, now) || f.age(n.since_received, now)})</span>
      </dd>
      <dt>last birth</dt>
      <dd title={f.ownTime(n.last_birth, n.last_birth_received, now)}>{f.clock(n.last_birth_received, now)}</dd>
      <dt>last death</dt>
      <dd title={n.last_death?.reason}>
        {n.last_death ? f.clock(n.last_death.time, now) : "none"}
        {n.last_death ? <span class="dim"> {n.last_death.reason}</span> : null}
      </dd>
      <dt>session</dt>
      <dd>
        bdSeq {n.bd_seq ?? "–"} · seq {n.seq ?? "–"}
      </dd>
      <dt>health</dt>
      <dd title={`${n.gaps} gaps in seq; ${n.rebirths.asked} rebirths asked for, ${n.rebirths.answered} answered${causes(n)}`}>
        gaps <span class={n.gaps > 0 ? "past" : ""}>{n.gaps}</span> · rebirths {n.rebirths.answered} of {n.rebirths.asked}
      </dd>
      {children}
    </dl>
  );
}

// causes lists what the node was asked for its births for.
function causes(n: Node): string {
  const all = Object.entries(n.rebirths.causes).map(([cause, asked]) => `${cause.replaceAll("_", " ")} ${asked}`);
  return all.length > 0 ? `: ${all.join(", ")}` : "";
}

export function NodeView({ group, node }: { group: string; node: string }) {
  const n = nodes.value.find((o) => o.group === group && o.node === node);
  if (!n) return <p class="empty panel">No node {group}/{node} is known.</p>;
  const own = events.value.filter((e) => e.group === group && e.node === node);
  return (
    <div class="node-view" data-view="node">
      <section class={`panel state-${n.state}`} data-node={`${group}/${node}`} data-state={n.state}>
        <header>
          <h2>
            {group}/{node}
          </h2>
          <StateWord state={n.state} />
          <span class="grow" />
          <a class="button" href="#/tags" onClick={() => (openKeys.value = new Set([...openKeys.value, groupKey(group), nodeKey(group, node)]))}>
            Show tags
          </a>
          <RebirthButton n={n} />
        </header>
        <Why list={n.why} />
        <Facts n={n}>
          <dt>client</dt>
          <dd class={n.state === "online" ? "" : "dim"}>
            {n.client ? `${n.client.connected ? "" : "was "}${[n.client.id, n.client.user && `user ${n.client.user}`, n.client.certificate].filter(Boolean).join(", ")} from ${n.client.address}${n.client.tls ? " by TLS" : ""}${n.client.protocol ? `, MQTT ${n.client.protocol}` : ""}` : "not connected"}
          </dd>
          <dt>clock</dt>
          <dd>{Math.abs(n.clock_skew_ms) < 1000 ? "within 1 s" : `${f.duration(Math.round(Math.abs(n.clock_skew_ms) / 1000))} ${n.clock_skew_ms < 0 ? "slow" : "fast"}`}</dd>
        </Facts>
        <table class="grid">
          <thead>
            <tr>
              <th>device</th>
              <th>state</th>
              <th>since</th>
              <th class="num">metrics</th>
              <th>reason</th>
            </tr>
          </thead>
          <tbody>
            {n.devices.map((d) => (
              <tr key={d.device} data-device={`${group}/${node}/${d.device}`} data-state={d.state}>
                <td>{d.device}</td>
                <td>
                  <StateWord state={d.state} />
                </td>
                <td title={f.ownTime(d.since, d.since_received, serverNow.value)}>{f.clock(d.since_received, serverNow.value)}</td>
                <td class="num">{d.metrics}</td>
                <td title={chain(d.why)}>{d.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {n.warnings.length > 0 && (
          <div class="warnings">
            <h3>What this node does against the specification</h3>
            <ul>
              {n.warnings.map((w) => (
                <li key={w}>{w}</li>
              ))}
            </ul>
          </div>
        )}
      </section>
      <section class="panel">
        <header>
          <h2>Life of this node</h2>
        </header>
        <EventList list={own.slice(0, 200)} />
      </section>
    </div>
  );
}

// A chain of reasons as lines: what the operator has to know first, then what it comes from.
const chain = (list: Reason[]): string => list.map((r) => f.reason(r.text, serverNow.value)).join("\n");

function Why({ list }: { list: Reason[] }) {
  if (list.length === 0) return null;
  return (
    <ol class="reason" data-why>
      {list.map((r, i) => (
        <li key={i} data-kind={r.kind}>
          {f.reason(r.text, serverNow.value)}
        </li>
      ))}
    </ol>
  );
}

function RebirthButton({ n }: { n: Node }) {
  return (
    <button
      type="button"
      data-action="rebirth"
      disabled={!canCommand.value || n.state === "offline"}
      title={canCommand.value ? "" : "commands are switched off, or the page is not live"}
      onClick={() =>
        confirm({
          title: `Rebirth of ${n.group}/${n.node}`,
          text: "The node is asked to send its birth certificates again. It keeps running; its values are shown anew.",
          act: "Ask for rebirth",
          done: () => postRebirth(n.group, n.node),
        })
      }
    >
      Rebirth…
    </button>
  );
}
