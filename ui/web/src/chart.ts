// One uPlot chart: the last value as a stepped line, min and max as a band, gaps hatched with their cause.
// It draws band and gaps itself: nothing is ever drawn across a gap.

import uPlot from "uplot";
import * as f from "./format";
import { yRange, type TrendData } from "./trenddata";

export interface Chart {
  show(d: TrendData): void;
  moveCursor(by: number): void;
  destroy(): void;
}

export type Readout = (index: number | null) => void;

const labelRoom = 46; // px that a gap must have for its cause to be written in it

const color = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function newChart(box: HTMLElement, first: TrendData, readout: Readout): Chart {
  let data = first;
  const axis = (): Partial<uPlot.Axis> => ({
    stroke: () => color("--muted"),
    grid: { stroke: () => color("--grid"), width: 1 },
    ticks: { stroke: () => color("--grid"), width: 1, size: 4 },
    font: "12px system-ui, sans-serif",
  });
  const size = () => ({ width: Math.max(box.clientWidth, 50), height: Math.max(box.clientHeight, 50) });
  const plot = new uPlot(
    {
      ...size(),
      legend: { show: false },
      padding: [8, 4, 0, 0],
      cursor: { y: false, points: { size: 7, fill: () => color("--line") }, drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: () => [data.from / 1000, data.to / 1000] },
        y: { range: () => yRange(data) },
      },
      axes: [
        { ...axis(), size: 30, space: 80, values: (_u, splits, _i, _s, step) => splits.map((s) => tick(s, step)) },
        { ...axis(), size: (_u, labels) => axisWidth(labels ?? []), space: (_u, _i, _min, _max, height) => Math.max(34, height / 7), values: (_u, splits) => splits.map((v) => f.axisLabel(v)) },
      ],
      series: [
        {},
        {
          stroke: () => color("--line"),
          width: 1.5,
          paths: uPlot.paths.stepped!({ align: 1 }),
          spanGaps: false,
          points: { show: true, size: 4, fill: () => color("--line"), filter: () => lonely(data.y) },
        },
      ],
      hooks: {
        drawAxes: [(u) => drawBand(u, data), (u) => drawGaps(u, data)],
        setCursor: [(u) => readout(u.cursor.idx ?? null)],
      },
    },
    [first.x, first.y],
    box,
  );
  const resize = new ResizeObserver(() => plot.setSize(size()));
  resize.observe(box);
  const theme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => plot.redraw();
  theme.addEventListener("change", redraw);
  return {
    show(d) {
      data = d;
      plot.setData([d.x, d.y]);
    },
    moveCursor(by) {
      const idx = Math.min(Math.max((plot.cursor.idx ?? data.x.length - 1) + by, 0), data.x.length - 1);
      const x = data.x[idx];
      const y = data.y[idx];
      if (x !== undefined) plot.setCursor({ left: plot.valToPos(x, "x"), top: y == null ? 0 : plot.valToPos(y, "y") });
    },
    destroy() {
      theme.removeEventListener("change", redraw);
      resize.disconnect();
      plot.destroy();
    },
  };
}

// A value between two breaks has no line: it is drawn as a point.
function lonely(y: (number | null)[]): number[] {
  const out: number[] = [];
  for (let i = 0; i < y.length; i++) if (y[i] !== null && (y[i - 1] ?? null) === null && (y[i + 1] ?? null) === null) out.push(i);
  return out;
}

function drawBand(u: uPlot, d: TrendData): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = color("--band");
  for (const c of d.band) {
    if (c.max === c.min) continue;
    const left = u.valToPos(c.from / 1000, "x", true);
    const right = u.valToPos(c.to / 1000, "x", true);
    const top = u.valToPos(c.max, "y", true);
    ctx.fillRect(left, top, Math.max(right - left, 1), u.valToPos(c.min, "y", true) - top);
  }
  ctx.restore();
}

function drawGaps(u: uPlot, d: TrendData): void {
  for (const g of d.gaps) {
    const left = u.valToPos(g.from / 1000, "x", true);
    const right = Math.max(u.valToPos(g.to / 1000, "x", true), left + 2);
    hatch(u, left, right, g.cause);
  }
}

function hatch(u: uPlot, left: number, right: number, cause: string): void {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, right - left, bbox.height);
  ctx.clip();
  ctx.fillStyle = color("--gap-fill");
  ctx.fillRect(left, bbox.top, right - left, bbox.height);
  ctx.strokeStyle = color("--gap-line");
  ctx.lineWidth = ratio;
  ctx.beginPath();
  const step = 8 * ratio;
  for (let x = Math.floor((left - bbox.height) / step) * step; x < right; x += step) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  const room = right - left - 10 * ratio;
  if (room > labelRoom * ratio) {
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    const text = fit(ctx, cause, room);
    ctx.fillStyle = color("--panel");
    ctx.fillRect(left + 4 * ratio, bbox.top + 4 * ratio, ctx.measureText(text).width + 6 * ratio, 18 * ratio);
    ctx.fillStyle = color("--text");
    ctx.fillText(text, left + 7 * ratio, bbox.top + 7 * ratio);
  }
  ctx.restore();
}

function fit(ctx: CanvasRenderingContext2D, text: string, room: number): string {
  if (ctx.measureText(text).width <= room) return text;
  let cut = text;
  while (cut.length > 1 && ctx.measureText(cut + "…").width > room) cut = cut.slice(0, -1);
  return cut + "…";
}

const two = (n: number): string => String(n).padStart(2, "0");

function tick(s: number, step: number): string {
  const d = new Date(s * 1000);
  const time = `${two(d.getHours())}:${two(d.getMinutes())}`;
  return step < 60 ? `${time}:${two(d.getSeconds())}` : time;
}

// The axis has room for its longest label: a counter of eight digits is read whole. Pixels, of 12 px digits.
const axisWidth = (labels: string[]): number => Math.max(54, 14 + 8 * Math.max(0, ...labels.map((l) => l.length)));
