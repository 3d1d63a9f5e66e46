/** What the pages of datasets keep in the address. */
import type { DiffKind } from "@/api/datasets";

export interface DatasetListSearch {
  q?: string;
  columns?: string[];
  /** The row whose preview is open. */
  preview?: string;
}

export const TABS = ["rows", "versions", "report", "columns", "storage"] as const;
export type DatasetTab = (typeof TABS)[number];
export const VIEWS = ["grid", "read"] as const;
export type View = (typeof VIEWS)[number];
const KINDS: readonly DiffKind[] = ["added", "removed", "changed"];

export interface DatasetSearch {
  tab?: DatasetTab;
  version?: string;
  /** Rows: a text, a filter, a finding, the look, the open row, and the columns. */
  q?: string;
  where?: string;
  finding?: string;
  view?: View;
  row?: number;
  columns?: string[];
  /** Differences: the versions, what pairs rows, and the kind to show. */
  before?: string;
  after?: string;
  key?: string;
  kind?: DiffKind;
  /** Report: the one to show, and the version and report to compare it with. */
  made?: string;
  since?: string;
  sinceMade?: string;
}

export const SOURCES = ["upload", "url", "s3", "hub"] as const;
export type Source = (typeof SOURCES)[number];

export interface NewDatasetSearch {
  source?: Source;
  /** The dataset that gets a version; without it, a new dataset is made. */
  dataset?: string;
}

type Raw = Record<string, unknown>;

const text = (value: unknown) => (typeof value === "string" && value ? value : undefined);
const texts = (value: unknown) =>
  Array.isArray(value)
    ? value.filter((item): item is string => typeof item === "string")
    : undefined;
const place = (value: unknown) =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;

/** Names that look like numbers were read as such. */
const name = (value: unknown) => text(typeof value === "number" ? String(value) : value);

export function readDatasetList(search: Raw): DatasetListSearch {
  return {
    q: name(search.q),
    columns: texts(search.columns),
    preview: text(search.preview),
  };
}

/** Read the state of a dataset's page; what is not understood is left out. */
export function readDataset(search: Raw): DatasetSearch {
  return {
    tab: TABS.find((tab) => tab === search.tab),
    version: text(search.version),
    q: name(search.q),
    where: text(search.where),
    finding: text(search.finding),
    view: VIEWS.find((view) => view === search.view),
    row: place(search.row),
    columns: texts(search.columns),
    before: text(search.before),
    after: text(search.after),
    key: name(search.key),
    kind: KINDS.find((kind) => kind === search.kind),
    made: text(search.made),
    since: text(search.since),
    sinceMade: text(search.sinceMade),
  };
}

export function readNewDataset(search: Raw): NewDatasetSearch {
  return {
    source: SOURCES.find((source) => source === search.source),
    dataset: text(search.dataset),
  };
}
