import { keepPreviousData, type Query, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { allBut } from "./query";
import type { Model, Schema } from "./types";

const PROJECT_MODELS = "/api/v1/projects/{project}/models";
const ALL_MODELS = "/api/v1/models";
const MODEL = "/api/v1/models/{model}";

/** How often models are read again while an import is under way. */
const PENDING = 10_000;

interface ModelPage {
  items: Model[];
  next_cursor?: string | null;
}

const paging = {
  pageParamName: "cursor",
  initialPageParam: null,
  getNextPageParam: (page: ModelPage) => page.next_cursor ?? undefined,
  placeholderData: keepPreviousData,
  refetchInterval: ({ state }: { state: { data?: { pages: ModelPage[] } } }) =>
    state.data?.pages.some(({ items }) => items.some(({ status }) => status === "pending"))
      ? PENDING
      : (false as const),
};

/** The models of a project, newest first. */
export const useProjectModels = (project: string, enabled = true) =>
  $api.useInfiniteQuery(
    "get",
    PROJECT_MODELS,
    { params: { path: { project }, query: { limit: 100 } } },
    { ...paging, enabled },
  );

/** The models of everywhere that the user may read, shared ones among them. */
export const useAllModels = (enabled: boolean) =>
  $api.useInfiniteQuery(
    "get",
    ALL_MODELS,
    { params: { query: { limit: 100 } } },
    { ...paging, enabled },
  );

export const projectModelsOptions = (project: string) =>
  $api.queryOptions("get", PROJECT_MODELS, {
    params: { path: { project }, query: { limit: 200 } },
  });

export const allModelsOptions = $api.queryOptions("get", ALL_MODELS, {
  params: { query: { limit: 200 } },
});

export const modelOptions = (model: string) =>
  $api.queryOptions(
    "get",
    MODEL,
    { params: { path: { model } } },
    // The end of an import is told live to those who may watch its task; others read it again.
    { refetchInterval: ({ state }) => (state.data?.status === "pending" ? PENDING : false) },
  );

/** The versions of a model with the same name. */
export const modelVersionsOptions = (project: string, name: string) =>
  $api.queryOptions("get", PROJECT_MODELS, {
    params: { path: { project }, query: { name, limit: 100 } },
  });

export const lineageOptions = (model: string) =>
  $api.queryOptions("get", "/api/v1/models/{model}/lineage", { params: { path: { model } } });

export const modelFilesOptions = (model: string) =>
  $api.queryOptions("get", "/api/v1/models/{model}/files", {
    params: { path: { model }, query: { limit: 500 } },
  });

/** Return the address of a file of a model. */
export function modelFileUrl(model: string, path: string): string {
  return `/api/v1/models/${model}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** Return a function that marks everything about models as old. */
const concerned = ({ queryKey }: Query) =>
  [PROJECT_MODELS, ALL_MODELS].includes(String(queryKey[1])) ||
  String(queryKey[1]).startsWith(MODEL);

export function useRefreshModels(): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ predicate: concerned });
}

export function useCreateModel(project: string) {
  const refresh = useRefreshModels();
  return useMutation({
    mutationFn: async (body: Schema<"ModelIn">) => {
      const { data } = await api.POST(PROJECT_MODELS, { params: { path: { project } }, body });
      return data as Model;
    },
    onSuccess: refresh,
  });
}

/** Import what was uploaded, or repeat an import that failed. */
export function useImportModel() {
  const refresh = useRefreshModels();
  return useMutation({
    mutationFn: (model: string) =>
      api.POST("/api/v1/models/{model}/import", { params: { path: { model } } }),
    onSettled: refresh,
  });
}

export function useDeleteModel() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (model: string) => api.DELETE(MODEL, { params: { path: { model } } }),
    onSuccess: (_data, model) => queries.invalidateQueries({ predicate: allBut(model, concerned) }),
  });
}

export const projectSecretsOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/secrets", {
    params: { path: { project }, query: { limit: 200 } },
  });

export const mySecretsOptions = $api.queryOptions("get", "/api/v1/users/me/secrets", {
  params: { query: { limit: 200 } },
});
