import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { refreshTasks, type TaskFilter, taskPagesOptions } from "@/api/tasks";
import type { Task } from "@/api/types";
import { useLive } from "@/live/live";

/** The pages of a project's tasks, kept up to date by the live stream. */
export function useTaskList(project: string, filter: TaskFilter) {
  const queries = useQueryClient();
  const list = useInfiniteQuery(taskPagesOptions(project, filter));
  const refresh = () => void refreshTasks(queries);
  useLive(
    ["tasks"],
    (event) => {
      if (event.event === "resync") refresh();
      if (event.event !== "tasks") return;
      const known = new Map(event.data.items.map((item) => [item.uuid, item]));
      const shown = list.data?.pages.flatMap((page) => page.items) ?? [];
      const changed = shown.filter((task) => known.has(task.uuid));
      // New tasks, and changes of status that move rows between filters, are read again.
      const moved =
        changed.length < known.size ||
        changed.some((task) => known.get(task.uuid)?.status !== task.status);
      if (moved) refresh();
      else queries.setQueriesData({ predicate: isTaskList }, (data) => patchPages(data, known));
    },
    refresh,
  );
  return list;
}

function isTaskList({ queryKey }: { queryKey: readonly unknown[] }): boolean {
  return queryKey[1] === "/api/v1/projects/{project}/tasks";
}

type Change = Pick<Task, "uuid" | "progress" | "priority">;

/** Return the pages with the progress and priority of the changed tasks. */
function patchPages(data: unknown, known: ReadonlyMap<string, Change>): unknown {
  if (typeof data !== "object" || data === null) return data;
  if ("pages" in data && Array.isArray(data.pages))
    return { ...data, pages: data.pages.map((page: unknown) => patchPages(page, known)) };
  if (!("items" in data) || !Array.isArray(data.items)) return data;
  const items = (data.items as Task[]).map((task) => {
    const change = known.get(task.uuid);
    return change ? { ...task, progress: change.progress, priority: change.priority } : task;
  });
  return { ...data, items };
}
