import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import type { Schema } from "./types";

export type Sweep = Schema<"SweepOut">;
export type SweepDetail = Schema<"SweepDetailOut">;
export type Trial = Schema<"TrialOut">;

const SWEEPS = "/api/v1/projects/{project}/sweeps";
const SWEEP = "/api/v1/sweeps/{sweep}";

export const sweepsOptions = (project: string) =>
  $api.queryOptions(
    "get",
    SWEEPS,
    { params: { path: { project }, query: { limit: 200 } } },
    {
      refetchInterval: ({ state }) =>
        state.data?.items.some(({ status }) => status === "running") ? 10_000 : false,
    },
  );

/** A sweep; it is read again every few seconds while it runs. */
export const sweepOptions = (sweep: string) =>
  $api.queryOptions(
    "get",
    SWEEP,
    { params: { path: { sweep } } },
    { refetchInterval: ({ state }) => (state.data?.status === "running" ? 4_000 : false) },
  );

function useRefreshSweeps(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[1] === SWEEPS || queryKey[1] === SWEEP,
    });
}

export function useCreateSweep(project: string) {
  const refresh = useRefreshSweeps();
  return useMutation({
    mutationFn: async (body: Schema<"SweepIn">) => {
      const { data } = await api.POST(SWEEPS, { params: { path: { project } }, body });
      return data as SweepDetail;
    },
    onSuccess: refresh,
  });
}

export function useCancelSweep(sweep: string) {
  const refresh = useRefreshSweeps();
  return useMutation({
    mutationFn: () => api.POST("/api/v1/sweeps/{sweep}/cancel", { params: { path: { sweep } } }),
    onSettled: refresh,
  });
}

export function useRegisterBest(sweep: string) {
  const refresh = useRefreshSweeps();
  return useMutation({
    mutationFn: async (name: string) => {
      const { data } = await api.POST("/api/v1/sweeps/{sweep}/register", {
        params: { path: { sweep } },
        body: { name },
      });
      return data as Schema<"RegisteredOut">;
    },
    onSuccess: refresh,
  });
}
