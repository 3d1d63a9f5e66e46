import { keepPreviousData, type Query, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch, versioned } from "./etags";
import { PAGED } from "./pages";
import { allBut } from "./query";
import { refreshTasks } from "./tasks";
import type { Answer, Experiment, Schema, Steps, Task } from "./types";

export type Run = Schema<"RunOut">;
export type Comparison = Answer<"/api/v1/projects/{project}/comparison">;

const EXPERIMENTS = "/api/v1/projects/{project}/experiments";
const EXPERIMENT = "/api/v1/experiments/{experiment}";
const RUNS = "/api/v1/projects/{project}/runs";

export interface SearchQuery {
  filter?: string;
  sort?: string;
}

export interface ExperimentQuery extends SearchQuery {
  archived?: boolean;
}

/** States of an experiment whose latest run is not over. */
const OPEN = ["pending", "running", "paused"];

/** The experiments of a project; they are read again while one of them runs. */
export const useExperiments = (project: string, query: ExperimentQuery) =>
  $api.useInfiniteQuery(
    "get",
    EXPERIMENTS,
    { params: { path: { project }, query: { limit: 50, ...query } } },
    {
      ...PAGED,
      refetchInterval: ({ state }) =>
        state.data?.pages.some((page) => page.items.some(({ status }) => OPEN.includes(status)))
          ? 10_000
          : false,
    },
  );

export const useRuns = (project: string, query: SearchQuery) =>
  $api.useInfiniteQuery(
    "get",
    RUNS,
    { params: { path: { project }, query: { limit: 50, ...query } } },
    PAGED,
  );

/** Experiments to choose from, newest first. */
export const experimentChoicesOptions = (project: string) =>
  $api.queryOptions("get", EXPERIMENTS, { params: { path: { project }, query: { limit: 200 } } });

export const experimentOptions = (experiment: string) =>
  $api.queryOptions("get", EXPERIMENT, { params: { path: { experiment } } });

export const comparisonOptions = (project: string, runs: string[], experiments: string[]) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/comparison", {
    params: { path: { project }, query: { run: runs, experiment: experiments } },
  });

const METRICS = "/api/v1/projects/{project}/metrics";

/** Curves of several tasks; a chart is a few hundred pixels wide. */
export const chartsOptions = (project: string, keys: string[], tasks: string[], live: boolean) =>
  $api.queryOptions(
    "get",
    METRICS,
    { params: { path: { project }, query: { key: keys, task: tasks, points: 500 } } },
    {
      enabled: keys.length > 0 && tasks.length > 0,
      placeholderData: keepPreviousData,
      refetchInterval: live ? 5_000 : false,
    },
  );

/** A part of the curves in more detail. */
export const chartDetailOptions = (
  project: string,
  keys: string[],
  tasks: string[],
  steps: Steps | null,
) =>
  $api.queryOptions(
    "get",
    METRICS,
    { params: { path: { project }, query: { key: keys, task: tasks, points: 1000, ...steps } } },
    { enabled: steps !== null, placeholderData: keepPreviousData },
  );

/** Return a function that marks lists, experiments and comparisons as old. */
const concerned = ({ queryKey }: Query) =>
  /\/(experiments|runs|comparison|summary)/.test(String(queryKey[1]));

export function useRefreshExperiments(): () => Promise<void> {
  const queries = useQueryClient();
  return async () => {
    await queries.invalidateQueries({ predicate: concerned });
    await refreshTasks(queries);
  };
}

export function useCreateExperiment(project: string) {
  const refresh = useRefreshExperiments();
  return useMutation({
    mutationFn: async (body: Schema<"ExperimentIn">) => {
      const { data } = await api.POST(EXPERIMENTS, { params: { path: { project } }, body });
      return data as Experiment;
    },
    onSuccess: refresh,
  });
}

/** Change an experiment; its page shows it immediately, and the old state on refusal. */
export function useChangeExperiment(experiment: string) {
  const queries = useQueryClient();
  const refresh = useRefreshExperiments();
  const key = experimentOptions(experiment).queryKey;
  return useMutation({
    mutationFn: ({ version, ...body }: Schema<"ExperimentChange"> & { version?: string }) =>
      api.PATCH(EXPERIMENT, { params: { path: { experiment }, header: ifMatch(version) }, body }),
    onMutate: async ({ name, note, tags }) => {
      await queries.cancelQueries({ queryKey: key });
      const before = queries.getQueryData<Experiment>(key);
      if (before)
        queries.setQueryData(key, {
          ...before,
          ...(name ? { name } : {}),
          ...(note === undefined ? {} : { note }),
          ...(tags ? { tags } : {}),
        });
      return before;
    },
    onError: (_error, _body, before) => queries.setQueryData(key, before),
    onSettled: refresh,
  });
}

/** Read an experiment as it is now, with the version that a change of it names. */
export function useReadExperiment(experiment: string) {
  return useMutation({
    mutationFn: async () => {
      const { data, response } = await api.GET(EXPERIMENT, { params: { path: { experiment } } });
      return versioned<Experiment>(data, response);
    },
  });
}

export function useDeleteExperiment(experiment: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE(EXPERIMENT, { params: { path: { experiment } } }),
    onSuccess: async () => {
      await queries.invalidateQueries({ predicate: allBut(experiment, concerned) });
      await refreshTasks(queries);
    },
  });
}

export function useArchiveExperiments() {
  const refresh = useRefreshExperiments();
  return useMutation({
    mutationFn: async ({ experiments, archived }: { experiments: string[]; archived: boolean }) => {
      for (const experiment of experiments)
        await api.PATCH(EXPERIMENT, {
          params: { path: { experiment }, header: ifMatch() },
          body: { archived },
        });
    },
    onSettled: refresh,
  });
}

export function useCloneExperiment(experiment: string) {
  const refresh = useRefreshExperiments();
  return useMutation({
    mutationFn: async (body: Schema<"CloneIn">) => {
      const { data } = await api.POST("/api/v1/experiments/{experiment}/clone", {
        params: { path: { experiment } },
        body,
      });
      return data as Experiment;
    },
    onSuccess: refresh,
  });
}

export function useStartRun() {
  const refresh = useRefreshExperiments();
  return useMutation({
    mutationFn: async ({ experiment, ...body }: Schema<"RunIn"> & { experiment: string }) => {
      const { data } = await api.POST("/api/v1/experiments/{experiment}/runs", {
        params: { path: { experiment } },
        body,
      });
      return data as Task;
    },
    onSuccess: refresh,
  });
}

export function useRerun() {
  const refresh = useRefreshExperiments();
  return useMutation({
    mutationFn: async ({ run, ...body }: Schema<"RerunIn"> & { run: string }) => {
      const { data } = await api.POST("/api/v1/runs/{run}/rerun", {
        params: { path: { run } },
        body,
      });
      return data as Task;
    },
    onSuccess: refresh,
  });
}

export type MetricSummary = Schema<"SummaryOut">;

const ENDED = ["completed", "failed", "cancelled"];

/** The newest runs of an experiment; they are read again while one of them is not over. */
export const experimentRunsOptions = (experiment: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/experiments/{experiment}/runs",
    { params: { path: { experiment }, query: { limit: 100 } } },
    {
      refetchInterval: ({ state }) =>
        state.data?.items.some(({ status }) => !ENDED.includes(status)) ? 5_000 : false,
    },
  );

/** The figures of the newest runs of an experiment. */
export const experimentSummariesOptions = (project: string, experiment: string, live: boolean) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/metrics/summary",
    { params: { path: { project }, query: { experiment } } },
    { refetchInterval: live ? 10_000 : false },
  );
