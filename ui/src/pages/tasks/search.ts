import type { TaskStatus, TaskType } from "@/api/types";

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
  status?: TaskStatus;
  type?: TaskType;
  name?: string;
  dead?: boolean;
  columns?: string[];
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readTaskList(search: Record<string, unknown>): TaskListSearch {
  const columns = Array.isArray(search.columns)
    ? search.columns.filter((name): name is string => typeof name === "string")
    : undefined;
  return {
    status: STATUSES.find((status) => status === search.status),
    type: TYPES.find((type) => type === search.type),
    name: typeof search.name === "string" && search.name ? search.name : undefined,
    dead: search.dead === true ? true : undefined,
    columns,
  };
}

export const TABS = ["curves", "log", "resources", "timeline", "config", "files"] as const;
export type TaskTab = (typeof TABS)[number];

export interface TaskSearch {
  tab?: TaskTab;
}

export function readTask(search: Record<string, unknown>): TaskSearch {
  return { tab: TABS.find((tab) => tab === search.tab) };
}
