// The tag tree: a virtual list over tree.ts, with the keyboard of the ARIA tree grid pattern. Rows have a fixed
// height and the server's order; only the text of a visible row changes when a value does.

import { computed, signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as f from "./format";
import { QualityMark, StateWord } from "./shapes";
import { cells, filter, metricList, nodes, openKeys, selected, serverNow } from "./store";
import { TrendPanel } from "./trend";
import { finite } from "./trenddata";
import { flatten, type Row } from "./tree";
import type { Num, Value } from "./types";

const rows = computed(() => flatten(nodes.value, metricList.value, openKeys.value, filter.value));
const active = signal(""); // key of the row that the keyboard is on

const coarse = matchMedia("(pointer: coarse), (max-width: 1100px)");
const rowHeight = (): number => (coarse.matches ? 44 : 36);
const overscan = 6;

export function TagsView() {
  return (
    <div class="tags-view" data-view="tags">
      <section class="panel tags" aria-labelledby="tags-title">
        <header>
          <h2 id="tags-title">Tags</h2>
          <span class="grow" />
          <input type="search" placeholder="Filter by name" aria-label="Filter tags by name" value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} />
        </header>
        <TreeHead />
        <Tree />
      </section>
      <TrendPanel source="edge" title="Trend" />
    </div>
  );
}

function TreeHead() {
  return (
    <div class="tree-row tree-head" aria-hidden="true">
      <span class="c-name">name</span>
      <span class="c-value">value</span>
      <span class="c-unit">unit</span>
      <span class="c-range">range</span>
      <span class="c-quality">quality</span>
      <span class="c-age">age</span>
    </div>
  );
}

function Tree() {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const list = rows.value;
  const h = rowHeight();
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setHeight(box.current?.clientHeight ?? 600));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    // The first visit opens the first group and its first node, so that there is something to see.
    if (openKeys.value.size === 0 && nodes.value[0]) {
      const n = nodes.value[0];
      openKeys.value = new Set([`g:${n.group}`, `n:${n.group}/${n.node}`]);
    }
  }, [nodes.value.length === 0]);

  const first = Math.max(0, Math.floor(top / h) - overscan);
  const last = Math.min(list.length, Math.ceil((top + height) / h) + overscan);
  const reveal = (i: number) => {
    const el = box.current!;
    if (i * h < el.scrollTop) el.scrollTop = i * h;
    else if ((i + 1) * h > el.scrollTop + el.clientHeight) el.scrollTop = (i + 1) * h - el.clientHeight;
  };
  return (
    <div
      ref={box}
      class="tree"
      role="treegrid"
      aria-label="tags"
      aria-rowcount={list.length}
      aria-colcount={6}
      tabIndex={0}
      aria-activedescendant={active.value ? rowId(active.value) : undefined}
      onScroll={(e) => setTop(e.currentTarget.scrollTop)}
      onKeyDown={(e) => keyboard(e, list, reveal)}
    >
      <div class="tree-space" role="rowgroup" style={{ height: `${list.length * h}px` }}>
        {list.slice(first, last).map((row, i) => (
          <TreeRow key={row.key} row={row} index={first + i} top={(first + i) * h} height={h} />
        ))}
      </div>
      {list.length === 0 && <p class="empty">{filter.value ? "No tag has this in its name." : "No node has been heard of yet."}</p>}
    </div>
  );
}

const rowId = (key: string): string => "row-" + key;

function TreeRow({ row, index, top, height }: { row: Row; index: number; top: number; height: number }) {
  const chosen = row.kind === "metric" && row.metric.id === selected.value;
  return (
    <div
      id={rowId(row.key)}
      role="row"
      aria-level={row.level}
      aria-rowindex={index + 1}
      aria-expanded={row.kind === "metric" ? undefined : row.open}
      aria-selected={chosen}
      class={`tree-row level-${row.level} ${row.kind}${active.value === row.key ? " active" : ""}${chosen ? " chosen" : ""}`}
      style={{ transform: `translateY(${top}px)`, height: `${height}px` }}
      data-row={row.kind}
      data-metric={row.kind === "metric" ? row.metric.id : undefined}
      onClick={() => {
        active.value = row.key;
        press(row);
      }}
    >
      <span class="c-name" role="gridcell" title={row.name}>
        {row.kind === "metric" ? <span class="leaf" /> : <span class={row.open ? "twist open" : "twist"} aria-hidden="true" />}
        {row.name}
      </span>
      {row.kind === "metric" ? <MetricCells id={row.metric.id} /> : <BranchCells row={row} />}
    </div>
  );
}

function BranchCells({ row }: { row: Exclude<Row, { kind: "metric" }> }) {
  return (
    <span class="c-branch" role="gridcell">
      {row.kind === "group" ? (
        <span class={row.offline > 0 ? "noteworthy" : "dim"}>
          {row.total} nodes{row.offline > 0 ? `, ${row.offline} not online` : ""}
        </span>
      ) : (
        <>
          <span class="dim">{row.total} metrics</span> <StateWord state={row.state} />
        </>
      )}
    </span>
  );
}

function MetricCells({ id }: { id: string }) {
  const cell = cells.get(id);
  if (!cell) return null;
  const live = cell.live.value;
  const m = cell.metric;
  const text = f.value(live.value, m.datatype);
  const cause = live.cause && `${live.quality === "good" ? "" : `${live.quality} because: `}${f.reason(live.cause)}`;
  return (
    <>
      <span class={`c-value q-${live.quality}`} role="gridcell" data-value={id} title={cause || text}>
        {text}
      </span>
      <span class="c-unit" role="gridcell">
        {m.unit}
      </span>
      <span class="c-range" role="gridcell">
        <Range value={live.value} low={m.low} high={m.high} />
      </span>
      <span class="c-quality" role="gridcell" title={cause}>
        <QualityMark quality={live.quality} />
      </span>
      <span class="c-age" role="gridcell">
        {f.age(live.received, serverNow.value)}
      </span>
    </>
  );
}

// Where the value is between the limits that the birth gave. Outside, the mark turns and takes colour.
function Range({ value, low, high }: { value: Value; low: Num; high: Num }) {
  const [l, h] = [finite(low), finite(high)];
  if (typeof value !== "number" || l === null || h === null || l >= h) return null;
  const part = (value - l) / (h - l);
  const out = part < 0 || part > 1;
  const x = 6 + 60 * Math.min(Math.max(part, 0), 1);
  return (
    <svg class={out ? "range out" : "range"} viewBox="0 0 72 14" role="img" aria-label={`${f.decimal(l)} to ${f.decimal(h)}${out ? ", outside" : ""}`}>
      <path class="scale" d="M6 7h60M6 4v6M66 4v6" />
      <path d={out ? `M${x} 2l5 5-5 5-5-5z` : `M${x - 1.5} 2h3v10h-3z`} />
    </svg>
  );
}

function press(row: Row): void {
  if (row.kind === "metric") selected.value = row.metric.id;
  else toggle(row.key, !row.open);
}

function toggle(key: string, open: boolean): void {
  const next = new Set(openKeys.value);
  if (open) next.add(key);
  else next.delete(key);
  openKeys.value = next;
}

function keyboard(e: KeyboardEvent, list: Row[], reveal: (i: number) => void): void {
  const at = list.findIndex((r) => r.key === active.value);
  const row = list[at];
  const go = (i: number) => {
    const to = Math.min(Math.max(i, 0), list.length - 1);
    if (list[to]) active.value = list[to].key;
    reveal(to);
  };
  const page = 10;
  switch (e.key) {
    case "ArrowDown": go(at + 1); break;
    case "ArrowUp": go(at - 1); break;
    case "PageDown": go(at + page); break;
    case "PageUp": go(at - page); break;
    case "Home": go(0); break;
    case "End": go(list.length - 1); break;
    case "Enter":
    case " ":
      if (row) press(row);
      break;
    case "ArrowRight":
      if (row && row.kind !== "metric" && !row.open) toggle(row.key, true);
      else if (row && row.kind !== "metric") go(at + 1);
      break;
    case "ArrowLeft":
      if (row && row.kind !== "metric" && row.open) toggle(row.key, false);
      else if (row) go(list.findLastIndex((r, i) => i < at && r.level < row.level));
      break;
    default: {
      if (e.key.length !== 1 || e.ctrlKey || e.metaKey || e.altKey) return;
      const c = e.key.toLowerCase();
      const hit = list.findIndex((r, i) => i > at && r.name.toLowerCase().startsWith(c));
      go(hit >= 0 ? hit : Math.max(list.findIndex((r) => r.name.toLowerCase().startsWith(c)), at));
    }
  }
  e.preventDefault();
}
