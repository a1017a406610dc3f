import assert from "node:assert/strict";
import test from "node:test";
import { getMetrics } from "./api";

test("metrics are read on where an answer ends early, for a few answers", async () => {
  const before = globalThis.fetch;
  try {
    for (const [pages, limit, want] of [
      [1, 10, 1],
      [3, 10, 3],
      [3, 2, 2],
      [100, 10, 4],
    ] as const) {
      const asked: string[] = [];
      globalThis.fetch = (path) => {
        asked.push(String(path));
        const n = asked.length;
        return Promise.resolve(new Response(JSON.stringify({ metrics: [{ id: `m${n}` }], next: n < pages ? `m/${n}` : null })));
      };
      assert.deepEqual((await getMetrics(limit)).map((m) => m.id), Array.from({ length: want }, (_, i) => `m${i + 1}`));
      assert.equal(asked[0], `/api/v1/metrics?limit=${limit}`);
      if (want > 1) assert.equal(asked[1], `/api/v1/metrics?limit=${limit - 1}&after=m%2F1`);
    }
  } finally {
    globalThis.fetch = before;
  }
});
