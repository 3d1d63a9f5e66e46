import type { TaskFilter } from "@/api/tasks";
import type { TaskStatus, TaskType } from "@/api/types";
import { type ChartSearch, readChartSearch } from "@/design/chart/search";

export const STATUSES: readonly TaskStatus[] = [
  "pending",
  "running",
  "paused",
  "cancelling",
  "completed",
  "failed",
  "cancelled",
];

export const TYPES: readonly TaskType[] = [
  "training",
  "estimate",
  "evaluation",
  "data_quality",
  "data_fix",
  "dataset_import",
  "model_import",
  "inference",
  "script",
  "external",
];

export interface TaskListSearch {
  /** The waiting tasks in their order, instead of the list. */
  view?: "queue";
  status?: TaskStatus;
  type?: TaskType;
  name?: string;
  dead?: boolean;
  columns?: string[];
  /** The row whose preview is open. */
  preview?: string;
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readTaskList(search: Record<string, unknown>): TaskListSearch {
  const columns = Array.isArray(search.columns)
    ? search.columns.filter((name): name is string => typeof name === "string")
    : undefined;
  return {
    view: search.view === "queue" ? search.view : undefined,
    status: STATUSES.find((status) => status === search.status),
    type: TYPES.find((type) => type === search.type),
    name: typeof search.name === "string" && search.name ? search.name : undefined,
    dead: search.dead === true ? true : undefined,
    columns,
    preview: typeof search.preview === "string" ? search.preview : undefined,
  };
}

/** Which tasks the list shows. */
export function filterOf({ status, type, name, dead }: TaskListSearch): TaskFilter {
  return { status, type, name, dead };
}

export const TABS = ["curves", "log", "resources", "timeline", "config", "files"] as const;
export type TaskTab = (typeof TABS)[number];

export interface TaskSearch extends ChartSearch {
  tab?: TaskTab;
  /** The line of the log that the address leads to. */
  line?: string;
}

const MEASURED: readonly TaskType[] = ["training", "external", "script", "evaluation"];

/** Return the chosen tab, else the one that says most about a task of that type. */
export function tabOf(type: TaskType, search: TaskSearch): TaskTab {
  return search.tab ?? (MEASURED.includes(type) ? "curves" : "log");
}

export function readTask(search: Record<string, unknown>): TaskSearch {
  return {
    ...readChartSearch(search),
    tab: TABS.find((tab) => tab === search.tab),
    line:
      typeof search.line === "string" && /^\d+-\d+$/.test(search.line) ? search.line : undefined,
  };
}
