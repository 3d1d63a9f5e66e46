import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import type { Schema } from "./types";

const MINE = "/api/v1/users/me/secrets";
const OF_PROJECT = "/api/v1/projects/{project}/secrets";

export type Secret = Schema<"SecretOut">;
export type SecretKind = Schema<"SecretKind">;

/** The secrets of a project; without one, the user's own. Their values can't be read. */
export function useSecrets(project?: string) {
  const query = { limit: 200 };
  const mine = useQuery({
    ...$api.queryOptions("get", MINE, { params: { query } }),
    enabled: project === undefined,
  });
  const ofProject = useQuery({
    ...$api.queryOptions("get", OF_PROJECT, {
      params: { path: { project: project ?? "" }, query },
    }),
    enabled: project !== undefined,
  });
  return project === undefined ? mine : ofProject;
}

function useRefreshSecrets(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[1] === MINE || queryKey[1] === OF_PROJECT,
    });
}

/** Store a value under a name, in place of an earlier one. */
export function useStoreSecret(project?: string) {
  const refresh = useRefreshSecrets();
  return useMutation({
    mutationFn: ({ secret, ...body }: Schema<"SecretIn"> & { secret: string }) =>
      project === undefined
        ? api.PUT("/api/v1/users/me/secrets/{secret}", { params: { path: { secret } }, body })
        : api.PUT("/api/v1/projects/{project}/secrets/{secret}", {
            params: { path: { project, secret } },
            body,
          }),
    onSuccess: refresh,
  });
}

export function useDeleteSecret(project?: string) {
  const refresh = useRefreshSecrets();
  return useMutation({
    mutationFn: (secret: string) =>
      project === undefined
        ? api.DELETE("/api/v1/users/me/secrets/{secret}", { params: { path: { secret } } })
        : api.DELETE("/api/v1/projects/{project}/secrets/{secret}", {
            params: { path: { project, secret } },
          }),
    onSuccess: refresh,
  });
}
