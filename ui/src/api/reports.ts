/** Queries and changes of quality reports: findings, fixes, comparisons and the gate. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { refreshDatasets } from "./datasets";
import { isTemporary, ProblemError } from "./problem";
import { refreshTasks } from "./tasks";
import type { Schema, Task } from "./types";

export type Report = Schema<"QualityReport">;
export type Finding = Schema<"ReportFinding">;
export type Severity = Finding["severity"];
export type FixAction = Finding["fixes"][number];

/** The report of a version. While it is being made, it is asked for again. */
export const reportOptions = (dataset: string, version: string, made?: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}/versions/{version}/report",
    { params: { path: { dataset, version }, query: made ? { made } : {} } },
    {
      retry: (failures, error) => isTemporary(error) && failures < 8,
      refetchInterval: ({ state }) => (isBeingMade(state.error) ? 3_000 : false),
    },
  );

/** Return true if a report was refused because it is being made just now. */
export function isBeingMade(error: unknown): boolean {
  return error instanceof ProblemError && error.status === 409;
}

export const reportHistoryOptions = (dataset: string, version: string) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/versions/{version}/reports", {
    params: { path: { dataset, version }, query: { limit: 50 } },
  });

export interface Compared {
  since: string;
  made?: string;
  sinceMade?: string;
}

export const reportChangesOptions = (
  dataset: string,
  version: string,
  { since, made, sinceMade }: Compared,
) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/versions/{version}/report/changes", {
    params: {
      path: { dataset, version },
      query: {
        since,
        ...(made ? { made } : {}),
        ...(sinceMade ? { since_made: sinceMade } : {}),
      },
    },
  });

/** Return the address from which a report is downloaded as one page. */
export function reportPageAddress(
  dataset: string,
  version: string,
  { language, since, made, sinceMade }: Partial<Compared> & { language: "en" | "zh" },
): string {
  const query = new URLSearchParams({
    lang: language,
    ...(since ? { since } : {}),
    ...(made ? { made } : {}),
    ...(since && sinceMade ? { since_made: sinceMade } : {}),
  });
  return `/api/v1/datasets/${dataset}/versions/${version}/report/page?${query}`;
}

export const gateOptions = (dataset: string, version: string) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/versions/{version}/gate", {
    params: { path: { dataset, version } },
  });

export const fixPreviewOptions = (
  dataset: string,
  version: string,
  finding: string,
  action: FixAction,
) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}/versions/{version}/findings/{finding}/preview",
    { params: { path: { dataset, version, finding }, query: { action, limit: 20 } } },
    { staleTime: Number.POSITIVE_INFINITY },
  );

/** Queue a fix of findings; the answer is its task. */
export function useFix(dataset: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"FixRequest">) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/fix", {
        params: { path: { dataset } },
        body,
      });
      return data as Task;
    },
    onSettled: () => refreshTasks(queries),
  });
}

/** Queue another report: for another model or length, or compared with other data. */
export function useMakeReport(dataset: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ version, body }: { version: string; body: Schema<"QualityRequest"> }) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/versions/{version}/quality", {
        params: { path: { dataset, version } },
        body,
      });
      return data as Task;
    },
    onSettled: async () => {
      await refreshTasks(queries);
      await refreshDatasets(queries);
    },
  });
}

/** Models that the user may read, shared ones included; their tokenizers can count. */
export const readableModelsOptions = $api.queryOptions(
  "get",
  "/api/v1/models",
  { params: { query: { limit: 200 } } },
  { staleTime: 60_000 },
);
