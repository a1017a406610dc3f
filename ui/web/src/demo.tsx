// The demo: what the plant does beside what SCADA, at the far end of the uplink, believes of it.

import { postDemo } from "./api";
import { run } from "./dialog";
import * as f from "./format";
import { StateWord } from "./shapes";
import { canSwitch, demo, nodes, serverNow } from "./store";

export function DemoPanel() {
  const d = demo.value;
  if (!d) return null;
  const names = [...new Set([...nodes.value, ...d.scada.nodes].map((n) => `${n.group}/${n.node}`))].sort();
  return (
    <section class="panel demo" aria-labelledby="demo-title" data-cut={d.cut}>
      <header>
        <h2 id="demo-title">Demo: plant and SCADA</h2>
        <span class="note">
          SCADA received {f.count(d.scada.samples)} live{d.scada.backfill > 0 ? `, ${f.count(d.scada.backfill)} back-filled` : ""}
        </span>
        <span class="grow" />
        <button type="button" data-action={d.cut ? "restore" : "cut"} disabled={!canSwitch.value} onClick={() => void run(d.cut ? "Restore the uplink" : "Cut the uplink", () => postDemo(d.cut ? "restore" : "cut"))}>
          {d.cut ? "Restore the uplink" : "Cut the uplink"}
        </button>
      </header>
      <table class="grid">
        <thead>
          <tr>
            <th>node</th>
            <th>plant (this appliance)</th>
            <th>SCADA’s belief</th>
            <th>
              <span class="hidden">difference</span>
            </th>
            <th>fault</th>
            <th class="act">switch</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <DemoRow key={name} name={name} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function DemoRow({ name }: { name: string }) {
  const d = demo.value!;
  const truth = nodes.value.find((n) => `${n.group}/${n.node}` === name);
  const belief = d.scada.nodes.find((n) => `${n.group}/${n.node}` === name);
  const killed = d.killed.includes(name);
  const agree = (truth?.state ?? "unknown") === (belief?.state ?? "unknown");
  return (
    <tr>
      <td>{name}</td>
      <td data-plant={name} data-state={truth?.state ?? "unknown"}>
        <StateWord state={truth?.state ?? "unknown"} /> <span class="dim since">since {f.clock(truth?.since_received, serverNow.value)}</span>
      </td>
      <td data-scada={name} data-state={belief?.state ?? "unknown"}>
        <StateWord state={belief?.state ?? "unknown"} word={belief?.state === "offline" ? "stale" : undefined} /> <span class="dim since">since {f.clock(belief?.since_received, serverNow.value)}</span>
      </td>
      <td class="noteworthy">{agree ? "" : "≠ differs"}</td>
      <td>
        <FaultChoice name={name} />
      </td>
      <td class="act">
        <button type="button" data-action={killed ? "revive" : "kill"} data-target={name} disabled={!canSwitch.value} onClick={() => void run(`${killed ? "Revive" : "Kill"} ${name}`, () => postDemo(killed ? "revive" : "kill", name))}>
          {killed ? "Revive" : "Kill"}
        </button>
      </td>
    </tr>
  );
}

// FaultChoice lets one simulated node misbehave, and says what the page must show of it.
function FaultChoice({ name }: { name: string }) {
  const d = demo.value!;
  const fault = d.faults[name] ?? "";
  const shows = d.offered.find((o) => o.name === fault)?.shows;
  const choose = (chosen: string) => run(chosen ? `Break ${name}: ${chosen}` : `Mend ${name}`, () => postDemo("fault", name, chosen));
  return (
    <>
      <select aria-label={`fault of ${name}`} data-fault={name} disabled={!canSwitch.value} value={fault} onChange={(e) => void choose(e.currentTarget.value)}>
        <option value="">none</option>
        {d.offered.map((o) => (
          <option key={o.name} value={o.name} title={f.shows(o.shows)}>
            {o.name}
          </option>
        ))}
      </select>
      {shows && <div class="dim shows">must show {f.shows(shows)}</div>}
    </>
  );
}
