import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import type { Worker } from "./types";

const WORKERS = "/api/v1/workers";
const WORKER = "/api/v1/workers/{worker}";

export const workerOptions = (worker: string) =>
  $api.queryOptions("get", WORKER, { params: { path: { worker } } }, { refetchInterval: 5_000 });

export const workerTelemetryOptions = (worker: string, since: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/workers/{worker}/telemetry",
    { params: { path: { worker }, query: { points: 500, since } } },
    { refetchInterval: 15_000 },
  );

export type WorkerAction = "cordon" | "drain" | "resume";

const STATES: Record<WorkerAction, Worker["state"]> = {
  cordon: "cordoned",
  drain: "draining",
  resume: "active",
};

/** Cordon, drain or resume a worker. Its state changes immediately, and back on refusal. */
export function useWorkerAction() {
  const queries = useQueryClient();
  const concerned = ({ queryKey }: { queryKey: readonly unknown[] }) =>
    queryKey[1] === WORKERS || queryKey[1] === WORKER;
  return useMutation({
    mutationFn: ({ worker, action }: { worker: string; action: WorkerAction }) => {
      const params = { path: { worker } };
      if (action === "cordon") return api.POST("/api/v1/workers/{worker}/cordon", { params });
      if (action === "drain") return api.POST("/api/v1/workers/{worker}/drain", { params });
      return api.POST("/api/v1/workers/{worker}/resume", { params });
    },
    onMutate: ({ worker, action }) => {
      const key = workerOptions(worker).queryKey;
      const before = queries.getQueryData<Worker>(key);
      if (before) queries.setQueryData(key, { ...before, state: STATES[action] });
      return { key, before };
    },
    onError: (_error, _input, context) => {
      if (context?.before) queries.setQueryData(context.key, context.before);
    },
    onSettled: () => queries.invalidateQueries({ predicate: concerned }),
  });
}
