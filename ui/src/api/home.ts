/** Queries of the home page, which looks into several projects at the same time. */
import { useQueries } from "@tanstack/react-query";
import { $api } from "./client";
import { recentTasksOptions } from "./tasks";
import type { Project, Task } from "./types";

/** How many projects the home page looks into, and how many tasks it reads of each. */
const PROJECTS = 8;
const TASKS = 40;

export interface HomeTask {
  task: Task;
  project: Project;
}

/** Return the latest tasks of the newest active projects, the newest first. */
export function useHomeTasks(projects: readonly Project[]): {
  tasks: HomeTask[];
  pending: boolean;
} {
  const shown = projects.filter(({ status }) => status === "active").slice(0, PROJECTS);
  const found = useQueries({
    queries: shown.map((project) => ({
      ...recentTasksOptions(project.uuid, {}, TASKS),
      retry: false,
      refetchInterval: 15_000,
    })),
  });
  const tasks = found.flatMap((query, index) => {
    const project = shown[index];
    return project ? (query.data?.items ?? []).map((task) => ({ task, project })) : [];
  });
  return {
    tasks: tasks.sort((a, b) => b.task.created_at.localeCompare(a.task.created_at)),
    pending: found.some(({ isPending }) => isPending),
  };
}

export const recentModelsOptions = $api.queryOptions(
  "get",
  "/api/v1/models",
  { params: { query: { limit: 6 } } },
  { staleTime: 30_000, retry: false },
);
