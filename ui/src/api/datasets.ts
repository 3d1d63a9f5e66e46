/** Queries and changes of datasets, their versions, tags and storage. */
import {
  type Query,
  type QueryClient,
  queryOptions,
  useInfiniteQuery,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch, type Versioned, versioned } from "./etags";
import { PAGED } from "./pages";
import { ProblemError } from "./problem";
import { allBut } from "./query";
import type { Dataset, Schema } from "./types";

export type DatasetVersion = Schema<"DatasetVersionOut">;
export type Tag = Schema<"TagOut">;
export type GridColumn = DatasetVersion["columns"][number];
export type DiffKind = "added" | "removed" | "changed";
export type ColumnTarget = Schema<"MapRequest">["map"][string];

const DATASETS = "/api/v1/projects/{project}/datasets";
const DATASET = "/api/v1/datasets/{dataset}";
const VERSIONS = "/api/v1/datasets/{dataset}/versions";
const DIFF = "/api/v1/datasets/{dataset}/diff";
const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const FOREVER = Number.POSITIVE_INFINITY;

export const useDatasets = (project: string) =>
  $api.useInfiniteQuery(
    "get",
    DATASETS,
    { params: { path: { project }, query: { limit: 50 } } },
    PAGED,
  );

export const datasetNamedOptions = (project: string, name: string) =>
  $api.queryOptions("get", DATASETS, { params: { path: { project }, query: { name, limit: 1 } } });

/** A dataset by what the address calls it: its uuid, or its name. */
export const datasetOptions = (project: string, param: string) =>
  queryOptions({
    queryKey: ["dataset", project, param],
    queryFn: async (): Promise<Versioned<Dataset>> => {
      const uuid = UUID.test(param) ? param : await uuidOf(project, param);
      const { data, response } = await api.GET(DATASET, { params: { path: { dataset: uuid } } });
      return versioned(data, response);
    },
  });

async function uuidOf(project: string, name: string): Promise<string> {
  const { data } = await api.GET(DATASETS, { params: { path: { project }, query: { name } } });
  const found = data?.items.find((dataset) => dataset.name === name);
  if (found) return found.uuid;
  throw new ProblemError({
    type: "about:blank",
    title: "Not found",
    status: 404,
    code: "resource.not_found",
    detail: name,
    instance: `/datasets/${name}`,
  });
}

export const versionOptions = (dataset: string, version: string) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/versions/{version}", {
    params: { path: { dataset, version } },
  });

export const useVersions = (dataset: string) =>
  $api.useInfiniteQuery(
    "get",
    VERSIONS,
    { params: { path: { dataset }, query: { limit: 100 } } },
    PAGED,
  );

export const tagsOptions = (dataset: string) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/tags", { params: { path: { dataset } } });

export const datasetStorageOptions = (dataset: string) =>
  $api.queryOptions("get", "/api/v1/datasets/{dataset}/storage", {
    params: { path: { dataset } },
  });

export interface DiffFilter {
  before: string;
  after: string;
  key?: string;
  kind?: DiffKind;
}

/** The differences between two versions, page by page. Versions never change, so neither do they. */
export const useDiff = (dataset: string, { before, after, key, kind }: DiffFilter) =>
  $api.useInfiniteQuery(
    "get",
    DIFF,
    {
      params: {
        path: { dataset },
        query: {
          before,
          after,
          limit: 50,
          ...(key ? { key } : {}),
          ...(kind ? { kind: [kind] } : {}),
        },
      },
    },
    { ...PAGED, staleTime: FOREVER },
  );

/** Mark everything of datasets as old, but for rows and differences, which never change. */
const concerned = ({ queryKey: [method, path] }: Query) =>
  method === "dataset" ||
  (String(path).includes("/datasets") && path !== DIFF && !String(path).endsWith("/parts"));

export function refreshDatasets(queries: QueryClient): Promise<void> {
  return queries.invalidateQueries({ predicate: concerned });
}

/**
 * Return a function that begins to read datasets again.
 *
 * It does not wait: a new version may replace the component that asked for it, which then would
 * never learn of its success.
 */
function useRefresh(): () => void {
  const queries = useQueryClient();
  return () => void refreshDatasets(queries);
}

export function useRenameDataset(dataset: string) {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: ({ name, version }: { name: string; version: string }) =>
      api.PATCH(DATASET, {
        params: { path: { dataset }, header: ifMatch(version) },
        body: { name },
      }),
    onSettled,
  });
}

export function useDeleteDataset(dataset: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE(DATASET, { params: { path: { dataset } } }),
    onSuccess: () => void queries.invalidateQueries({ predicate: allBut(dataset, concerned) }),
  });
}

export function useDeleteVersion(dataset: string) {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: (version: string) =>
      api.DELETE("/api/v1/datasets/{dataset}/versions/{version}", {
        params: { path: { dataset, version } },
      }),
    onSettled,
  });
}

export function useRestoreVersion(dataset: string) {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: async (version: string) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/restore", {
        params: { path: { dataset } },
        body: { version },
      });
      return data as DatasetVersion;
    },
    onSettled,
  });
}

type TagList = Schema<"TagList">;

/** Set, move or remove a tag. It is shown immediately, and reverted if the API refuses. */
export function useTag(dataset: string) {
  const queries = useQueryClient();
  const key = tagsOptions(dataset).queryKey;
  return useMutation({
    mutationFn: async ({ tag, version }: { tag: string; version: string | null }) => {
      const path = { dataset, tag };
      if (version === null)
        await api.DELETE("/api/v1/datasets/{dataset}/tags/{tag}", { params: { path } });
      else
        await api.PUT("/api/v1/datasets/{dataset}/tags/{tag}", {
          params: { path },
          body: { version },
        });
    },
    onMutate: ({ tag, version }) => {
      const before = queries.getQueryData<TagList>(key);
      if (before) {
        const others = before.items.filter((item) => item.name !== tag);
        const moved: Tag[] = version
          ? [{ name: tag, version, moved_by: null, moved_at: new Date().toISOString() }]
          : [];
        queries.setQueryData<TagList>(key, { ...before, items: [...others, ...moved] });
      }
      return before;
    },
    onError: (_error, _input, before) => {
      if (before) queries.setQueryData(key, before);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
}

/** Say what columns are; the answer is the version that has the new names. */
export function useMapColumns(dataset: string) {
  const onSuccess = useRefresh();
  return useMutation({
    mutationFn: async (body: Schema<"MapRequest">) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/map", {
        params: { path: { dataset } },
        body,
      });
      return data as DatasetVersion;
    },
    onSuccess,
  });
}

/** Keep or drop the rows that meet a filter. */
export function useFilterRows(dataset: string) {
  const onSuccess = useRefresh();
  return useMutation({
    mutationFn: async (body: Schema<"FilterRequest">) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/filter", {
        params: { path: { dataset } },
        body,
      });
      return data as DatasetVersion;
    },
    onSuccess,
  });
}

/** Change, add and delete single rows. */
export function usePatchRows(dataset: string) {
  const onSuccess = useRefresh();
  return useMutation({
    mutationFn: async (body: Schema<"PatchRequest">) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/patch", {
        params: { path: { dataset } },
        body,
      });
      return data as DatasetVersion;
    },
    onSuccess,
  });
}

/** Distribute the rows of a version among new datasets. */
export function useSplit(dataset: string) {
  const onSuccess = useRefresh();
  return useMutation({
    mutationFn: async (body: Schema<"SplitRequest">) => {
      const { data } = await api.POST("/api/v1/datasets/{dataset}/split", {
        params: { path: { dataset } },
        body,
      });
      return data as Schema<"SplitOut">;
    },
    onSuccess,
  });
}

/** Return the address from which a version is downloaded. */
export function downloadAddress(dataset: string, version: string, format: string): string {
  return `/api/v1/datasets/${dataset}/versions/${version}/content?format=${format}`;
}

export type Row = Record<string, unknown>;

export interface PlacedRow {
  place: number;
  row: Row;
}

export interface RowFilter {
  search?: string;
  where?: string;
  finding?: string;
}

/** Rows in one request of the grid. */
export const ROWS_PER_PAGE = 50;

interface Batch {
  rows: PlacedRow[];
  next: string | null;
}

async function readBatch(
  dataset: string,
  version: string,
  query: { offset?: number; limit: number; cursor?: string },
  filter: RowFilter,
  signal: AbortSignal,
): Promise<Batch> {
  const { search, where, finding } = filter;
  const chosen = {
    ...query,
    ...(search ? { search } : {}),
    ...(where ? { where: [where] } : {}),
  };
  const { data } = finding
    ? await api.GET("/api/v1/datasets/{dataset}/versions/{version}/findings/{finding}/rows", {
        params: { path: { dataset, version, finding }, query: chosen },
        signal,
      })
    : await api.GET("/api/v1/datasets/{dataset}/versions/{version}/rows", {
        params: { path: { dataset, version }, query: chosen },
        signal,
      });
  const places = data?.places ?? [];
  return {
    rows: (data?.items ?? []).map((row, index) => ({ row, place: places[index] ?? index })),
    next: data?.next_cursor ?? null,
  };
}

/** One page of all rows, by its number. A page of long rows takes several requests. */
export const rowsPageOptions = (dataset: string, version: string, page: number) =>
  queryOptions({
    queryKey: ["rows", dataset, version, page],
    queryFn: async ({ signal }) => {
      const rows: PlacedRow[] = [];
      let next: string | null = null;
      do {
        const limit = ROWS_PER_PAGE - rows.length;
        const start = next ? { cursor: next } : { offset: page * ROWS_PER_PAGE };
        const batch = await readBatch(dataset, version, { limit, ...start }, {}, signal);
        rows.push(...batch.rows);
        next = batch.next;
      } while (next && rows.length < ROWS_PER_PAGE);
      return rows;
    },
    staleTime: FOREVER,
    gcTime: 5 * 60_000,
  });

/** The rows that meet a filter, in their order. A long search may need several empty pages. */
export const useFoundRows = (
  dataset: string,
  version: string,
  filter: RowFilter,
  enabled: boolean,
) =>
  useInfiniteQuery({
    queryKey: ["found-rows", dataset, version, filter],
    queryFn: async ({ pageParam, signal }) => {
      const rows: PlacedRow[] = [];
      let next: string | null = pageParam;
      do {
        const query = { limit: ROWS_PER_PAGE, ...(next ? { cursor: next } : {}) };
        const batch: Batch = await readBatch(dataset, version, query, filter, signal);
        rows.push(...batch.rows);
        next = batch.next;
      } while (next && rows.length === 0);
      return { rows, next };
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    staleTime: FOREVER,
    enabled,
  });
