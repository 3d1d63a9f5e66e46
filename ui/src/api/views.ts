import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import type { Schema } from "./types";

const VIEWS = "/api/v1/projects/{project}/views";
const VIEW = "/api/v1/projects/{project}/views/{view}";

export type SavedView = Schema<"SavedViewOut">;
export type ListPage = Schema<"ListPage">;

/** The user's views of a list, and those that others have shared. */
export const useViews = (project: string, page: ListPage) =>
  useQuery(
    $api.queryOptions("get", VIEWS, {
      params: { path: { project }, query: { page, limit: 500 } },
    }),
  );

function useRefreshViews(): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] === VIEWS });
}

export function useSaveView(project: string) {
  const refresh = useRefreshViews();
  return useMutation({
    mutationFn: (body: Schema<"SavedViewIn">) =>
      api.POST(VIEWS, { params: { path: { project } }, body }),
    onSuccess: refresh,
  });
}

/** Rename, replace or share a view. The last change wins: a view has no parts to merge. */
export function useChangeView(project: string) {
  const refresh = useRefreshViews();
  return useMutation({
    mutationFn: ({ view, ...body }: Schema<"SavedViewPatch"> & { view: string }) =>
      api.PATCH(VIEW, { params: { path: { project, view }, header: ifMatch() }, body }),
    onSuccess: refresh,
  });
}

export function useDeleteView(project: string) {
  const refresh = useRefreshViews();
  return useMutation({
    mutationFn: (view: string) => api.DELETE(VIEW, { params: { path: { project, view } } }),
    onSuccess: refresh,
  });
}
