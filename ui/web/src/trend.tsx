// The trend of the selected metric: chart, or a table of the same data. It asks the server for as many buckets as
// it can show, anew at the pace at which a bucket fills.

import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { getMetrics, getSamples, getTrend } from "./api";
import { newChart, type Chart } from "./chart";
import * as f from "./format";
import { QualityMark } from "./shapes";
import { cells, clockOffset, demo, events, freshness, loaded, nodes, selected, serverNow } from "./store";
import { finite, trendData, type TrendData } from "./trenddata";
import type { Buckets, Metric, Sample } from "./types";

const windows = [
  { label: "10 min", ms: 600e3 },
  { label: "1 h", ms: 3600e3 },
  { label: "8 h", ms: 8 * 3600e3 },
  { label: "24 h", ms: 24 * 3600e3 },
];
const width = signal(600e3);
const asTable = signal(false);

// What can be selected without going to the tag tree.
const choices = signal<Metric[]>([]);

export const isNumeric = (datatype: string): boolean => /^(U?Int(8|16|32|64)|Float|Double|Boolean)$/.test(datatype);

// The first metric with a unit is selected when nothing is: a page without a curve explains nothing.
effect(() => {
  if (!loaded.value || nodes.value.length === 0) return;
  void getMetrics(2000).then(
    (metrics) => {
      choices.value = metrics.filter((m) => isNumeric(m.datatype));
      if (selected.peek() === null) selected.value = (choices.value.find((m) => m.unit && /temperature|pressure/i.test(m.name)) ?? choices.value.find((m) => m.unit) ?? metrics[0])?.id ?? null;
    },
    () => undefined,
  );
});

// Births, deaths and cuts change what a trend shows. A storm of them asks the server anew three times a second, not more.
const turned = signal(0);
let turnTimer = 0;
effect(() => {
  void events.value[0]?.id;
  void demo.value?.cut;
  turnTimer ||= window.setTimeout(() => {
    turnTimer = 0;
    turned.value++;
  }, 300);
});

interface Shown {
  data: TrendData;
  raw: Buckets;
  error: string;
}

const nothing: TrendData = { from: Date.now() - 600e3, to: Date.now(), x: [], y: [], band: [], gaps: [] };

// Asks again at the pace of the window, at once when the selection, the window, or the plant changes.
function useTrend(source: "edge" | "scada", points: number): Shown {
  const [shown, setShown] = useState<Shown>({ data: nothing, raw: { id: "", from: "", to: "", buckets: [], gaps: [] }, error: "" });
  const id = selected.value;
  const span = width.value;
  const live = freshness.value === "live";
  const turn = turned.value;
  useEffect(() => {
    if (!id || !live) return undefined;
    let over = false;
    const load = async () => {
      const to = Date.now() + clockOffset.peek();
      try {
        const raw = await getTrend(source, id, to - span, to, points);
        if (!over) setShown({ data: trendData(raw), raw, error: "" });
      } catch (e) {
        if (!over) setShown((s) => ({ ...s, error: e instanceof Error ? e.message : String(e) }));
      }
    };
    void load();
    const timer = setInterval(() => void load(), Math.max(1000, Math.min(span / points, 60_000)));
    return () => {
      over = true;
      clearInterval(timer);
    };
  }, [source, id, span, live, points, turn]);
  return shown;
}

export function TrendPanel({ source, title, control = true }: { source: "edge" | "scada"; title: string; control?: boolean }) {
  const shown = useTrend(source, 400);
  const id = selected.value;
  const cell = id ? cells.get(id) : undefined;
  const metric = cell?.metric ?? choices.value.find((m) => m.id === id);
  const [at, setAt] = useState<number | null>(null);
  const text = metric !== undefined && !isNumeric(metric.datatype);
  return (
    <section class="panel trend" data-trend={source} data-gaps={shown.data.gaps.length} data-points={shown.data.x.length} data-metric={id ?? ""}>
      <header>
        <h2>{title}</h2>
        {control ? <Chooser /> : <span class="note">{metric ? labelOf(metric) : ""}</span>}
        {control && <Controls />}
      </header>
      <p class="readout" aria-live="off">
        {!metric ? "no tag selected" : text && source === "scada" ? <span class="dim">SCADA’s pane keeps numbers only</span> : <Readout shown={shown} at={at} metric={metric} source={source} />}
        {shown.error && freshness.value === "live" && <span class="noteworthy"> {shown.error}</span>}
      </p>
      {text ? source === "edge" && <TextTable id={metric.id} /> : asTable.value ? <BucketTable shown={shown} /> : <Canvas shown={shown} onCursor={setAt} label={metric ? `${title}: ${metric.name}` : title} />}
    </section>
  );
}

function Controls() {
  return (
    <>
      <div class="segments" role="group" aria-label="window">
        {windows.map((w) => (
          <button key={w.ms} type="button" aria-pressed={width.value === w.ms} data-window={w.ms / 60e3} onClick={() => (width.value = w.ms)}>
            {w.label}
          </button>
        ))}
      </div>
      <button type="button" class="quiet" aria-pressed={asTable.value} data-action="table" onClick={() => (asTable.value = !asTable.value)}>
        Table
      </button>
    </>
  );
}

const maxChoices = 400;

function Chooser() {
  const list = choices.value.slice(0, maxChoices);
  const id = selected.value ?? "";
  const missing = id && !list.some((m) => m.id === id) ? cells.get(id)?.metric : undefined;
  return (
    <select class="chooser" aria-label="tag" value={id} onChange={(e) => (selected.value = e.currentTarget.value)}>
      {missing && <option value={missing.id}>{labelOf(missing)}</option>}
      {list.map((m) => (
        <option key={m.id} value={m.id}>
          {labelOf(m)}
        </option>
      ))}
    </select>
  );
}

const labelOf = (m: Metric): string => `${m.node}${m.device ? "/" + m.device : ""}: ${m.name}`;

// The line above the chart: what the cursor is on, else the present value.
function Readout({ shown, at, metric, source }: { shown: Shown; at: number | null; metric: Metric; source: "edge" | "scada" }) {
  const d = shown.data;
  const x = at === null ? undefined : d.x[at];
  if (x !== undefined) {
    const v = d.y[at!];
    const band = d.band.find((c) => x * 1000 >= c.from && x * 1000 < c.to);
    const gap = d.gaps.find((g) => x * 1000 >= g.from && x * 1000 < g.to);
    return (
      <>
        <span class="dim">{f.clock(new Date(x * 1000).toISOString(), serverNow.value)}</span> <strong>{v == null ? "no value" : `${f.measured(v)} ${metric.unit}`}</strong>
        {band && band.min !== band.max ? <span class="dim"> min {f.measured(band.min)} max {f.measured(band.max)}</span> : null}
        {gap ? <span class="noteworthy"> gap: {f.reason(gap.cause, serverNow.value)}</span> : null}
      </>
    );
  }
  const live = cells.get(metric.id)?.live.value;
  const gaps = d.gaps.length > 0 ? <span class="dim"> · {d.gaps.length === 1 ? "1 gap" : `${d.gaps.length} gaps`} in view</span> : null;
  if (source === "edge" && live) {
    return (
      <>
        <strong class={`q-${live.quality}`}>
          {f.value(live.value, metric.datatype)} {metric.unit}
        </strong>{" "}
        {live.quality !== "good" && <QualityMark quality={live.quality} />} <span class="dim">{f.reason(live.cause, serverNow.value) || f.place(metric)}</span>
        {gaps}
      </>
    );
  }
  const last = d.y.findLast((v) => v !== null);
  const lasting = d.gaps.find((g) => g.open);
  return (
    <>
      <strong class={lasting ? "q-stale" : ""}>{last == null ? "no value" : `${f.measured(last)} ${metric.unit}`}</strong> {lasting && <QualityMark quality="stale" />}{" "}
      <span class="dim">{lasting?.cause ?? f.place(metric)}</span>
      {gaps}
    </>
  );
}

function Canvas({ shown, onCursor, label }: { shown: Shown; onCursor: (i: number | null) => void; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  useEffect(() => {
    chart.current = newChart(box.current!, shown.data, onCursor);
    return () => chart.current?.destroy();
  }, []);
  useEffect(() => chart.current?.show(shown.data), [shown.data]);
  return (
    <div
      ref={box}
      class="canvas"
      role="img"
      tabIndex={0}
      aria-label={`${label}; arrow keys move the cursor, the button Table shows the same data as a table`}
      onKeyDown={(e) => {
        if (e.key !== "ArrowLeft" && e.key !== "ArrowRight") return;
        e.preventDefault();
        chart.current?.moveCursor((e.key === "ArrowLeft" ? -1 : 1) * (e.shiftKey ? 10 : 1));
      }}
    />
  );
}

const maxTableRows = 500;

function BucketTable({ shown }: { shown: Shown }) {
  const cell = (n: Buckets["buckets"][number]["min"]) => (finite(n) === null ? (n ?? "–") : f.measured(finite(n)!));
  const rows = shown.raw.buckets.filter((b) => b.count > 0).slice(-maxTableRows).reverse();
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="trend as a table">
      {shown.data.gaps.length > 0 && (
        <ul class="gap-list">
          {shown.data.gaps.map((g) => (
            <li key={g.from}>
              gap {f.clock(new Date(g.from).toISOString(), serverNow.value)} to {g.open ? "now" : f.clock(new Date(g.to).toISOString(), serverNow.value)}: {g.cause}
            </li>
          ))}
        </ul>
      )}
      <table class="grid">
        <thead>
          <tr>
            <th>from</th>
            <th class="num">last</th>
            <th class="num">min</th>
            <th class="num">max</th>
            <th class="num">mean</th>
            <th class="num">samples</th>
            <th>quality</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((b) => (
            <tr key={b.t}>
              <td>{f.clock(b.t, serverNow.value)}</td>
              <td class="num">{cell(b.last)}</td>
              <td class="num">{cell(b.min)}</td>
              <td class="num">{cell(b.max)}</td>
              <td class="num">{cell(b.mean)}</td>
              <td class="num">{b.count}</td>
              <td>
                <QualityMark quality={b.quality} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Text has no curve: its samples are listed.
function TextTable({ id }: { id: string }) {
  const [samples, setSamples] = useState<Sample[]>([]);
  const span = width.value;
  useEffect(() => {
    const to = Date.now() + clockOffset.peek();
    void getSamples(id, to - span, to).then(
      (s) => setSamples(s.samples),
      () => setSamples([]),
    );
  }, [id, span, cells.get(id)?.live.value.time]);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="samples">
      <table class="grid">
        <thead>
          <tr>
            <th>time</th>
            <th>value</th>
            <th>quality</th>
          </tr>
        </thead>
        <tbody>
          {samples.toReversed().map((s) => (
            <tr key={s.t}>
              <td>{f.clock(s.t, serverNow.value)}</td>
              <td>{f.value(s.v)}</td>
              <td>
                <QualityMark quality={s.q} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
