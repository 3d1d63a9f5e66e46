import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Plugin } from "vite";

interface Manifest {
  name: string;
  version: string;
  license?: string | { type: string };
  dependencies?: Record<string, string>;
}

export interface Licence {
  name: string;
  version: string;
  licence: string;
}

/** Write the licences of the page's packages beside it, as `licences.json`. */
export function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      this.emitFile({
        type: "asset",
        fileName: "licences.json",
        source: JSON.stringify(packages(import.meta.dirname)),
      });
    },
  };
}

/** Return the packages that a directory's manifest needs, with what these need, by name. */
export function packages(directory: string): Licence[] {
  const found = new Map<string, Licence>();
  const waiting = [directory];
  for (const place of waiting) {
    const manifest = read(place);
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      const inner = findPackage(name, place);
      if (!inner) continue;
      const { version, license } = read(inner);
      const key = `${name}@${version}`;
      if (found.has(key)) continue;
      const licence = typeof license === "string" ? license : (license?.type ?? "unknown");
      found.set(key, { name, version, licence });
      waiting.push(inner);
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function read(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf-8")) as Manifest;
}

/** Return the directory of a package, as Node finds it from another one. */
function findPackage(name: string, from: string): string | undefined {
  for (const place of createRequire(join(from, "package.json")).resolve.paths(name) ?? []) {
    const candidate = join(place, name);
    try {
      read(candidate);
      return candidate;
    } catch {
      // It is not in this directory; Node looks into the next one, too.
    }
  }
  return undefined;
}
