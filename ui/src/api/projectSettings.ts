import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch, versioned } from "./etags";
import { ownAccessOptions } from "./projects";
import { rolesOptions } from "./roles";
import type { Project, Schema } from "./types";

const GATE = "/api/v1/projects/{project}/dataset-gate";
const BIN = "/api/v1/projects/{project}/bin";
const ALL_BINS = "/api/v1/bin";
const RETENTION = "/api/v1/projects/{project}/retention";

export type Gate = Schema<"Gate">;
export type BinItem = Schema<"BinItemOut">;

/** Return whether the user owns the project or has a role there that contains everything. */
export function useHoldsEverything(project: Project): boolean {
  const reasons = useQuery(ownAccessOptions(project.uuid)).data?.reasons ?? [];
  const roles = useQuery(rolesOptions).data?.items ?? [];
  const full = new Set(
    roles.filter((role) => role.permissions.includes("*")).map((role) => role.name),
  );
  return reasons.some(({ source, role }) => source === "owner" || full.has(role));
}

/** Return a function that reads again all that these paths answered. */
function useRefresh(...paths: string[]): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => paths.includes(String(queryKey[1])),
    });
}

export function useSetQuota(project: string) {
  const refresh = useRefresh("/api/v1/projects/{project}/usage");
  return useMutation({
    mutationFn: (body: Schema<"QuotaIn">) =>
      api.PUT("/api/v1/projects/{project}/quota", { params: { path: { project } }, body }),
    onSuccess: refresh,
  });
}

export const gateOptions = (project: string) =>
  $api.queryOptions("get", GATE, { params: { path: { project } } });

export function useSetGate(project: string) {
  const refresh = useRefresh(GATE);
  return useMutation({
    mutationFn: (body: Gate) => api.PUT(GATE, { params: { path: { project } }, body }),
    // Not awaited: what is read again begins the form anew, which would lose its callbacks.
    onSuccess: () => void refresh(),
  });
}

/** The names of the project's datasets, to choose from. */
export const datasetNamesOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/datasets", {
    params: { path: { project }, query: { limit: 500 } },
  });

export const retentionOptions = (project: string) =>
  $api.queryOptions("get", RETENTION, { params: { path: { project } } });

export interface KeepingPolicy {
  bin_days: number | null;
  retention: Record<string, number | null>;
}

/** Change what is kept. Other parts of the project's configuration stay as they are now. */
export function useSetKeeping(project: string) {
  const queries = useQueryClient();
  const refresh = useRefresh(RETENTION);
  return useMutation({
    mutationFn: async ({ bin_days, retention }: KeepingPolicy) => {
      const params = { path: { project } };
      const answer = await api.GET("/api/v1/projects/{project}", { params });
      const { value, version } = versioned(answer.data, answer.response);
      const { bin_days: _days, ...config } = value.config;
      return api.PATCH("/api/v1/projects/{project}", {
        params: { ...params, header: ifMatch(version) },
        body: { config: { ...config, ...(bin_days !== null && { bin_days }), retention } },
      });
    },
    // Not awaited: what is read again begins the form anew, which would lose its callbacks.
    onSuccess: () => {
      void refresh();
      void queries.invalidateQueries({ queryKey: ["project"] });
    },
  });
}

export const projectBinOptions = (project: string) =>
  $api.queryOptions("get", BIN, { params: { path: { project }, query: { limit: 200 } } });

export const binOptions = $api.queryOptions("get", ALL_BINS, {
  params: { query: { limit: 200 } },
});

/** Restore a dataset or model; without a project, a project. */
export function useRestore(project?: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (item: string) => {
      const { data } =
        project === undefined
          ? await api.POST("/api/v1/bin/{binned}/restore", { params: { path: { binned: item } } })
          : await api.POST("/api/v1/projects/{project}/bin/{item}/restore", {
              params: { path: { project, item } },
            });
      return data as Schema<"RestoredOut">;
    },
    // What comes back appears in lists of its kind.
    onSettled: () => queries.invalidateQueries(),
  });
}

/** Permanently delete something in the bin. */
export function usePurge(project?: string) {
  const refresh = useRefresh(BIN, ALL_BINS, "/api/v1/projects/{project}/usage");
  return useMutation({
    mutationFn: (item: string) =>
      project === undefined
        ? api.DELETE("/api/v1/bin/{binned}", { params: { path: { binned: item } } })
        : api.DELETE("/api/v1/projects/{project}/bin/{item}", {
            params: { path: { project, item } },
          }),
    onSettled: refresh,
  });
}
