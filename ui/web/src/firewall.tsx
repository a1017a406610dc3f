// The Sparkplug firewall: what clients tried, and who speaks for which node or host.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { getBindings, getViolations, postForget } from "./api";
import { confirm } from "./dialog";
import * as f from "./format";
import { canCommand, paused, serverNow } from "./store";
import type { Binding, Violation, Violations } from "./types";

const seen = signal<Violations | null>(null);
const bindings = signal<Binding[]>([]);
const trouble = signal("");

const maxRows = 500;

async function load(): Promise<void> {
  try {
    [seen.value, bindings.value] = await Promise.all([getViolations(), getBindings()]);
    trouble.value = "";
  } catch (e) {
    trouble.value = e instanceof Error ? e.message : String(e);
  }
}

const modes = {
  off: "off: nothing is watched (sparkplug.firewall.mode)",
  observe: "observes: what is listed was let pass",
  enforce: "enforces: what is listed was refused",
};

export function FirewallView() {
  useEffect(() => {
    if (paused.value) return;
    void load();
    const timer = setInterval(() => void load(), 2000);
    return () => clearInterval(timer);
  }, [paused.value]);
  const v = seen.value;
  const times = v ? Object.values(v.total).reduce((sum, n) => sum + n, 0) : 0;
  return (
    <section class="panel clients full" data-view="firewall" data-mode={v?.mode}>
      <header>
        <h2>Sparkplug firewall</h2>
        {v && <span class="dim">{modes[v.mode]}</span>}
        {times > 0 && <span class="noteworthy">{times === 1 ? "1 violation" : `${f.count(times)} violations`} since the start</span>}
        {trouble.value && <span class="noteworthy">not up to date: {trouble.value}</span>}
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="firewall">
        {v && v.mode !== "off" && v.violations.length === 0 && <p class="empty">Nobody has broken a rule.</p>}
        {v && v.violations.length > 0 && <ViolationTable rows={v.violations.slice(0, maxRows)} />}
        {v && v.violations.length > maxRows && <p class="dim">The newest {f.count(maxRows)} are shown; /api/v1/violations has all.</p>}
        {bindings.value.length > 0 && <BindingTable rows={bindings.value.slice(0, maxRows)} />}
        {bindings.value.length > maxRows && <p class="dim">The first {f.count(maxRows)} names are shown; /api/v1/bindings has all.</p>}
      </div>
    </section>
  );
}

function ViolationTable({ rows }: { rows: Violation[] }) {
  return (
    <table class="grid">
      <thead>
        <tr>
          <th>last</th>
          <th class="num">times</th>
          <th>client</th>
          <th>address</th>
          <th>tried</th>
          <th>rule</th>
          <th>what</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((v) => (
          <tr key={[v.rule, v.what, v.client, v.topic, v.refused].join("\n")} data-violation={v.client} data-rule={v.rule}>
            <td title={`first ${f.clock(v.first, serverNow.value)}`}>{f.clock(v.last, serverNow.value)}</td>
            <td class="num">{f.count(v.count)}</td>
            <td title={v.user && `user ${f.value(v.user)}`}>{f.value(v.client)}</td>
            <td>{v.address}</td>
            <td>
              {v.what} <span class="dim">{f.value(v.topic)}</span>
            </td>
            <td>
              {v.rule} <span class="dim">{v.refused ? "refused" : "let pass"}</span>
            </td>
            <td>{f.value(v.detail)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function BindingTable({ rows }: { rows: Binding[] }) {
  return (
    <table class="grid">
      <thead>
        <tr>
          <th>speaks for</th>
          <th>identity</th>
          <th>last from</th>
          <th>since</th>
          <th />
        </tr>
      </thead>
      <tbody>
        {rows.map((b) => (
          <tr key={b.name} data-binding={b.name}>
            <td>{f.value(b.host ? `host ${b.host}` : `${b.group}/${b.node}`)}</td>
            <td>
              {f.value(b.identity)} <span class="dim">{b.pinned ? "by first use" : "by a rule"}</span>
            </td>
            <td>
              {f.value(b.client)} <span class="dim">{b.address}</span>
            </td>
            <td>{f.age(b.since, serverNow.value)}</td>
            <td>
              <Forget b={b} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Forget({ b }: { b: Binding }) {
  return (
    <button
      type="button"
      class="quiet"
      data-action="forget"
      disabled={!canCommand.value}
      onClick={() =>
        confirm({
          title: `Forget who is ${b.name}`,
          text: "The next client that connects under this name has it. Who speaks for it now is no longer heard until it connects again.",
          act: "Forget",
          done: async () => {
            await postForget(b.name);
            await load();
          },
        })
      }
    >
      Forget…
    </button>
  );
}
