/** Fail when the page has grown over its budget. Sizes are of gzipped files. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const ENTRY = 250_000;
const ROUTE = 120_000;
const out = process.env.AIPLATFORM_UI_OUT ?? "../src/aiplatform/server/ui/static";
const manifest = JSON.parse(readFileSync(join(out, ".vite/manifest.json"), "utf8"));

const size = (file) => gzipSync(readFileSync(join(out, file))).length;

/** Return the files that are loaded with an entry of the manifest, without those of `seen`. */
function filesOf(key, seen = new Set()) {
  const entry = manifest[key];
  if (!entry || seen.has(entry.file)) return [];
  seen.add(entry.file);
  const own = [entry.file, ...(entry.css ?? []).filter((file) => !seen.has(file))];
  for (const file of entry.css ?? []) seen.add(file);
  return own.concat(...(entry.imports ?? []).map((name) => filesOf(name, seen)));
}

const total = (files) => files.reduce((sum, file) => sum + size(file), 0);
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

let over = false;
function check(name, bytes, limit) {
  const bad = bytes > limit;
  over ||= bad;
  if (bad || name === "entry") console.log(`${name}: ${kilobytes(bytes)} of ${kilobytes(limit)}`);
}

const entryKey = Object.keys(manifest).find((key) => manifest[key].isEntry);
const loaded = new Set();
check("entry", total(filesOf(entryKey, loaded)), ENTRY);
// Pages and what they load later stand within the shell, a route of its own that is loaded before.
const SHELL = "src/routes/_app";
const withShell = new Set(loaded);
const shellKey = Object.keys(manifest).find((key) => key.startsWith(`${SHELL}.tsx?`));
filesOf(shellKey, withShell);
for (const key of Object.keys(manifest)) {
  const inside = key.startsWith(`${SHELL}/`) || !key.startsWith("src/routes/");
  const before = inside ? withShell : loaded;
  if (manifest[key].isDynamicEntry) check(key, total(filesOf(key, new Set(before))), ROUTE);
}
process.exitCode = over ? 1 : 0;
