export const SCOPES = ["project", "shared"] as const;
export type Scope = (typeof SCOPES)[number];

export interface ModelListSearch {
  q?: string;
  scope?: Scope;
  /** All versions of each model, not only the newest. */
  all?: boolean;
  columns?: string[];
  /** The row whose preview is open. */
  preview?: string;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value ? value : undefined;
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readModelList(search: Record<string, unknown>): ModelListSearch {
  return {
    // The router reads a search for "12" as a number.
    q: typeof search.q === "number" ? String(search.q) : text(search.q),
    scope: SCOPES.find((scope) => scope === search.scope && scope !== "project"),
    all: search.all === true ? true : undefined,
    columns: Array.isArray(search.columns)
      ? search.columns.filter((name): name is string => typeof name === "string")
      : undefined,
    preview: text(search.preview),
  };
}

export const TABS = ["card", "metrics", "lineage", "files", "versions", "aliases"] as const;
export type ModelTab = (typeof TABS)[number];

export interface ModelSearch {
  tab?: ModelTab;
}

export function readModel(search: Record<string, unknown>): ModelSearch {
  return { tab: TABS.find((tab) => tab === search.tab) };
}

export interface CompareSearch {
  a?: string;
  b?: string;
}

export function readCompare(search: Record<string, unknown>): CompareSearch {
  return { a: text(search.a), b: text(search.b) };
}

export const KINDS = ["package", "directory", "gguf", "hub"] as const;
export type ImportKind = (typeof KINDS)[number];

export interface ImportSearch {
  kind?: ImportKind;
  /** A model whose upload was interrupted. */
  model?: string;
}

export function readImport(search: Record<string, unknown>): ImportSearch {
  return {
    kind: KINDS.find((kind) => kind === search.kind),
    model: text(search.model),
  };
}
