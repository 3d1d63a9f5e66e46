import { type ChartSearch, readChartSearch } from "@/design/chart/search";

/** What the addresses of these pages hold. Whatever is not understood is left out. */

type Raw = Record<string, unknown>;

export const VIEWS = ["experiments", "runs", "sweeps"] as const;
export type View = (typeof VIEWS)[number];

export interface ListSearch {
  view?: View;
  filter?: string;
  sort?: string;
  columns?: string[];
  archived?: boolean;
  /** The row whose preview is open. */
  preview?: string;
}

export function readList(raw: Raw): ListSearch {
  return {
    view: VIEWS.find((view) => view === raw.view),
    filter: text(raw.filter),
    sort: typeof raw.sort === "string" && SORT.test(raw.sort) ? raw.sort : undefined,
    columns: texts(raw.columns),
    archived: raw.archived === true ? true : undefined,
    preview: text(raw.preview),
  };
}

const SORT = /^-?(created|(metrics|config)\..+)$/;

export const EXPERIMENT_TABS = ["runs", "curves", "config", "note"] as const;
export type ExperimentTab = (typeof EXPERIMENT_TABS)[number];

export interface ExperimentSearch extends ChartSearch {
  tab?: ExperimentTab;
}

export function readExperiment(raw: Raw): ExperimentSearch {
  return { tab: EXPERIMENT_TABS.find((tab) => tab === raw.tab), ...readChartSearch(raw) };
}

export interface CompareSearch extends ChartSearch {
  run?: string[];
  experiment?: string[];
}

/** The most that one comparison shows. */
export const MOST = 20;

export function readCompare(raw: Raw): CompareSearch {
  return {
    run: uuids(raw.run),
    experiment: uuids(raw.experiment),
    ...readChartSearch(raw),
  };
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

function uuids(raw: unknown): string[] | undefined {
  const found = texts(raw)?.filter((item) => UUID.test(item));
  return found?.length ? [...new Set(found)].slice(0, MOST) : undefined;
}

function text(raw: unknown): string | undefined {
  return typeof raw === "string" && raw ? raw : undefined;
}

function texts(raw: unknown): string[] | undefined {
  if (typeof raw === "string") return [raw];
  if (!Array.isArray(raw)) return undefined;
  return raw.filter((item): item is string => typeof item === "string");
}
