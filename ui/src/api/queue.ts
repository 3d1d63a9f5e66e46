import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { refreshTasks } from "./tasks";
import type { Schema } from "./types";

/** The tasks of a project that wait. */
export const queueOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/tasks", {
    params: { path: { project }, query: { status: "pending", limit: 500 } },
  });

export interface Reorder {
  task: string;
  /** The uuids of all tasks of the line in their new order. */
  order: string[];
}

const move = (task: string, before: string) =>
  api.POST("/api/v1/tasks/{task}/move", { params: { path: { task } }, body: { before } });

/** Move a waiting task. Its row moves immediately, and back if the API refuses. */
export function useReorder(project: string) {
  const queries = useQueryClient();
  const { queryKey } = queueOptions(project);
  return useMutation({
    mutationFn: async ({ task, order }: Reorder) => {
      const place = order.indexOf(task);
      const next = order[place + 1];
      const last = order[place - 1];
      if (next) await move(task, next);
      else if (last) {
        // Nothing is after the end: go before the last one, and let that go before this one.
        await move(task, last);
        await move(last, task);
      }
    },
    onMutate: async ({ order }) => {
      await queries.cancelQueries({ queryKey });
      const before = queries.getQueryData<Schema<"Page_TaskOut_">>(queryKey);
      if (before) queries.setQueryData(queryKey, inOrder(before, order));
      return before;
    },
    onError: (_error, _input, before) => queries.setQueryData(queryKey, before),
    onSettled: () => refreshTasks(queries),
  });
}

/** Return the page with the places of its tasks handed out in a new order. */
function inOrder(page: Schema<"Page_TaskOut_">, order: string[]): Schema<"Page_TaskOut_"> {
  const places = page.items
    .filter(({ uuid }) => order.includes(uuid))
    .map(({ position }) => position ?? Number.MAX_SAFE_INTEGER)
    .sort((a, b) => a - b);
  return {
    ...page,
    items: page.items.map((item) => {
      const place = order.indexOf(item.uuid);
      return place < 0 ? item : { ...item, position: places[place] ?? item.position };
    }),
  };
}
