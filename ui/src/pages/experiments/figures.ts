/** The figures and settings of experiments and runs, by path. Pure functions. */

type Document = Record<string, unknown>;

interface Facts {
  config: Document;
  metrics: Document;
}

/** Return a document's leaves by their paths: `{lora: {rank: 8}}` has `lora.rank`. */
export function flatten(document: Document, prefix = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [key, value] of Object.entries(document)) {
    const path = `${prefix}${key}`;
    if (isDocument(value) && Object.keys(value).length > 0)
      for (const [inner, leaf] of flatten(value, `${path}.`)) found.set(inner, leaf);
    else found.set(path, value);
  }
  return found;
}

function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return the value at a path such as `metrics.eval_loss`, or undefined. */
export function valueAtPath(facts: Facts, path: string): unknown {
  const root = path.slice(0, path.indexOf("."));
  const rest = path.slice(root.length + 1);
  if (root === "config") return leaf(facts.config, rest);
  return root === "metrics" ? leaf(facts.metrics, rest) : undefined;
}

function leaf(document: Document, path: string): unknown {
  if (path in document) return document[path];
  const dot = path.indexOf(".");
  if (dot < 0) return undefined;
  const inner = document[path.slice(0, dot)];
  return isDocument(inner) ? leaf(inner, path.slice(dot + 1)) : undefined;
}

const DULL = /^config\.(type|secrets|resources|labels|accelerator|preemptible)\b/;

/** Return the paths of plain values that occur in the rows: metrics first, each sorted. */
export function knownPaths(rows: readonly Facts[]): string[] {
  const metrics = new Set<string>();
  const config = new Set<string>();
  for (const row of rows) {
    for (const [path, value] of flatten(row.metrics))
      if (typeof value === "number") metrics.add(`metrics.${path}`);
    for (const [path, value] of flatten(row.config))
      if (["number", "string", "boolean"].includes(typeof value)) config.add(`config.${path}`);
  }
  return [...[...metrics].sort(), ...[...config].filter((path) => !DULL.test(path)).sort()];
}

/** Return a value of a config as it is written: texts as they are, the rest as JSON. */
export function showValue(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}
