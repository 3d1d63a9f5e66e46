import { useMutation } from "@tanstack/react-query";
import { $api, api } from "./client";
import type { Schema } from "./types";

export type Estimate = Schema<"EstimateOut">;
export type TrainingEstimate = Schema<"TrainingEstimate">;
export type RunEstimate = Schema<"RunEstimate">;

const ENDED = ["completed", "failed", "cancelled"];

/** Queue an estimate of a training. */
export function useEstimateTraining(project: string) {
  return useMutation({
    mutationFn: async (body: Schema<"EstimateIn">) => {
      const { data } = await api.POST("/api/v1/projects/{project}/training-estimates", {
        params: { path: { project } },
        body,
      });
      return data as Estimate;
    },
  });
}

/** An estimate; it is read again until it has ended. */
export const estimateOptions = (estimate: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/training-estimates/{estimate}",
    { params: { path: { estimate } } },
    {
      enabled: estimate !== "",
      refetchInterval: ({ state }) =>
        state.data && ENDED.includes(state.data.status) ? false : 1_000,
    },
  );

/** A run with its record and the estimate that was made before it. */
export const runOptions = (run: string) =>
  $api.queryOptions("get", "/api/v1/runs/{run}", { params: { path: { run } } });
