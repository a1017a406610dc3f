// Builds dist from src: one script, one style sheet, names with a hash of their content, and index.html.
// The same sources and the same versions of package-lock.json give the same bytes.
// `node build.mjs --check` builds into memory and compares with dist. Budgets are in bytes after gzip.

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const budget = { js: 60 * 1024, css: 15 * 1024 };

const result = await build({
  absWorkingDir: here,
  entryPoints: { page: "src/main.tsx", style: "src/style.css" },
  outdir: "out",
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});

const files = new Map();
let html = readFileSync(join(here, "src/index.html"), "utf8");
for (const file of result.outputFiles) {
  const kind = file.path.endsWith(".css") ? "css" : "js";
  const hash = createHash("sha256").update(file.contents).digest("hex").slice(0, 12);
  const name = `assets/${kind === "css" ? "style" : "page"}-${hash}.${kind}`;
  files.set(name, Buffer.from(file.contents));
  html = html.replace(`"${kind.toUpperCase()}"`, `"/${name}"`);
  const size = gzipSync(file.contents, { level: 9 }).length;
  console.log(`${name}  ${file.contents.length} bytes, ${size} after gzip`);
  if (size > budget[kind]) {
    console.error(`${kind} is over its budget of ${budget[kind]} bytes`);
    process.exit(1);
  }
}
files.set("index.html", Buffer.from(html));

if (process.argv.includes("--check")) {
  const there = existsSync(join(dist, "assets")) ? ["index.html", ...readdirSync(join(dist, "assets")).map((n) => "assets/" + n)] : [];
  const same = there.length === files.size && there.every((n) => files.has(n) && files.get(n).equals(readFileSync(join(dist, n))));
  if (!same) {
    console.error("dist differs from src: run `npm run build` and commit dist");
    process.exit(1);
  }
  console.log("dist is what src builds");
} else {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(join(dist, "assets"), { recursive: true });
  for (const [name, content] of files) writeFileSync(join(dist, name), content);
}
