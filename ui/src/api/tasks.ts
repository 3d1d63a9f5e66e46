import {
  infiniteQueryOptions,
  keepPreviousData,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import type { Schema, Steps, TaskDetail, TaskStatus, TaskType } from "./types";

export interface TaskFilter {
  status?: TaskStatus;
  type?: TaskType;
  name?: string;
  dead?: boolean;
}

const TASKS = "/api/v1/projects/{project}/tasks";
const TASK = "/api/v1/tasks/{task}";

/** The pages of a project's tasks, newest first. */
export const taskPagesOptions = (project: string, filter: TaskFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: [
      "get",
      TASKS,
      { params: { path: { project }, query: { limit, ...filter } } },
    ] as const,
    queryFn: async ({ queryKey: [, , { params }], pageParam, signal }) => {
      const query = { ...params.query, ...(pageParam ? { cursor: pageParam } : {}) };
      const { data } = await api.GET(TASKS, { params: { ...params, query }, signal });
      return data as Schema<"Page_TaskOut_">;
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
  });

export const recentTasksOptions = (project: string, filter: TaskFilter = {}, limit = 20) =>
  $api.queryOptions("get", TASKS, { params: { path: { project }, query: { limit, ...filter } } });

export const taskOptions = (task: string) =>
  $api.queryOptions("get", TASK, { params: { path: { task } } });

const METRICS = "/api/v1/tasks/{task}/metrics";

/** The curves of a task; a chart is a few hundred pixels wide. */
export const taskMetricsOptions = (task: string) =>
  $api.queryOptions("get", METRICS, { params: { path: { task }, query: { points: 500 } } });

/** A part of the curves in more detail. */
export const metricDetailOptions = (task: string, steps: Steps | null) =>
  $api.queryOptions(
    "get",
    METRICS,
    { params: { path: { task }, query: { points: 1000, ...steps } } },
    { enabled: steps !== null, placeholderData: keepPreviousData },
  );

export const telemetryOptions = (task: string, live: boolean) =>
  $api.queryOptions(
    "get",
    "/api/v1/tasks/{task}/telemetry",
    { params: { path: { task }, query: { points: 500 } } },
    { refetchInterval: live ? 5_000 : false },
  );

export const timelineOptions = (task: string) =>
  $api.queryOptions("get", "/api/v1/tasks/{task}/timeline", {
    params: { path: { task }, query: { limit: 500 } },
  });

export const artifactsOptions = (task: string) =>
  $api.queryOptions("get", "/api/v1/tasks/{task}/artifacts", {
    params: { path: { task }, query: { limit: 500 } },
  });

export const taskUsageOptions = (task: string) =>
  $api.queryOptions("get", "/api/v1/tasks/{task}/usage", { params: { path: { task } } });

export const logOptions = (task: string) => ({
  queryKey: ["log", task] as const,
  queryFn: async () => {
    // All pages of the stored log; what is printed later comes by the live stream.
    const chunks: Schema<"LogChunkOut">[] = [];
    let cursor: string | null = null;
    do {
      const query: { limit: number; cursor?: string } = {
        limit: 500,
        ...(cursor ? { cursor } : {}),
      };
      const { data } = await api.GET("/api/v1/tasks/{task}/logs", {
        params: { path: { task }, query },
      });
      chunks.push(...(data?.items ?? []));
      cursor = data?.next_cursor ?? null;
    } while (cursor);
    return chunks;
  },
  staleTime: Number.POSITIVE_INFINITY,
});

export const workersOptions = $api.queryOptions(
  "get",
  "/api/v1/workers",
  { params: { query: { limit: 200 } } },
  { refetchInterval: 15_000 },
);

export type TaskAction = "cancel" | "pause" | "resume" | "retry";

/** Cancel, pause, resume or retry tasks; lists and pages of tasks follow. */
export function useTaskAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ task, action }: { task: string; action: TaskAction }) => {
      const { data } = await api.POST(
        `/api/v1/tasks/{task}/${action}` as `/api/v1/tasks/{task}/cancel`,
        {
          params: { path: { task } },
        },
      );
      return data as TaskDetail;
    },
    onSettled: () => refreshTasks(queries),
  });
}

export function useSetPriority() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ task, priority }: { task: string; priority: number }) =>
      api.PATCH(TASK, { params: { path: { task }, header: ifMatch() }, body: { priority } }),
    // The number changes immediately, and back if the API refuses.
    onMutate: ({ task, priority }) => {
      const key = taskOptions(task).queryKey;
      const before = queries.getQueryData<TaskDetail>(key);
      if (before) queries.setQueryData(key, { ...before, priority });
      return { key, before };
    },
    onError: (_error, _input, context) => {
      if (context) queries.setQueryData(context.key, context.before);
    },
    onSettled: () => refreshTasks(queries),
  });
}

export function useMoveTask() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ task, before }: { task: string; before: string | null }) =>
      api.POST("/api/v1/tasks/{task}/move", { params: { path: { task } }, body: { before } }),
    onSettled: () => refreshTasks(queries),
  });
}

/** Mark lists and single tasks as old. */
export function refreshTasks(queries: ReturnType<typeof useQueryClient>): Promise<void> {
  return queries.invalidateQueries({
    predicate: ({ queryKey }) => queryKey[1] === TASKS || queryKey[1] === TASK,
  });
}
