// Text must have a contrast of at least 4.5:1 on every ground it stands on, shapes and lines 3:1, in both themes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const css = readFileSync("src/style.css", "utf8");

// The variables of the nth :root block: 0 light, 1 dark.
function theme(n: number): Map<string, string> {
  const block = css.split(":root {")[n + 1]!.split("}")[0]!;
  return new Map([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6})\b/g)].map((m) => [m[1]!, m[2]!]));
}

function luminance(hex: string): number {
  const channel = (i: number) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
}

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const grounds = ["ground", "panel", "raised"];
const pairs: [string, string, number][] = [
  ...grounds.flatMap((g): [string, string, number][] => [
    ["text", g, 4.5],
    ["muted", g, 4.5],
    ["bad", g, 4.5],
    ["warn", g, 4.5],
    ["focus", g, 3],
    ["line", g, 3],
  ]),
  ["shape", "panel", 2.5], // the shape of "online" is quiet on purpose; its word carries the contrast
  ["warn", "warn-ground", 4.5],
  ["panel", "text", 4.5],
  ["on-tone", "bad", 3],
  ["on-tone", "warn", 3],
];

for (const [n, name] of ["light", "dark"].entries()) {
  test(`contrast, ${name}`, () => {
    const colors = theme(n);
    for (const [front, ground, least] of pairs) {
      const got = contrast(colors.get(front)!, colors.get(ground)!);
      assert.ok(got >= least, `${front} on ${ground}: ${got.toFixed(2)}, want ${least}`);
    }
  });
}
