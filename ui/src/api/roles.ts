import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch, versioned } from "./etags";
import type { Schema } from "./types";

const ROLES = "/api/v1/roles";
const ROLE = "/api/v1/roles/{role}";

export type Role = Schema<"RoleOut">;
export type PermissionEntry = Schema<"PermissionOut">;

export const permissionsOptions = $api.queryOptions("get", "/api/v1/permissions", undefined, {
  staleTime: Number.POSITIVE_INFINITY,
});

export const rolesOptions = $api.queryOptions(
  "get",
  ROLES,
  { params: { query: { limit: 500 } } },
  { staleTime: 30_000 },
);

/** One role with the version that a change of it must name. */
export const roleOptions = (role: string) =>
  queryOptions({
    queryKey: ["get", ROLE, role] as const,
    queryFn: async () => {
      const { data, response } = await api.GET(ROLE, { params: { path: { role } } });
      return versioned(data, response);
    },
    staleTime: 0,
    // What is being edited must not change under the hands.
    refetchOnWindowFocus: false,
  });

function useRefreshRoles(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[1] === ROLES || queryKey[1] === ROLE,
    });
}

export function useCreateRole() {
  const refresh = useRefreshRoles();
  return useMutation({
    mutationFn: (body: Schema<"RoleIn">) => api.POST(ROLES, { body }),
    onSuccess: refresh,
  });
}

export function useChangeRole(role: string) {
  const refresh = useRefreshRoles();
  return useMutation({
    mutationFn: ({ version, ...body }: Schema<"RolePatch"> & { version: string }) =>
      api.PATCH(ROLE, { params: { path: { role }, header: ifMatch(version) }, body }),
    onSuccess: refresh,
  });
}

export function useDeleteRole() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (role: string) => api.DELETE(ROLE, { params: { path: { role } } }),
    // Only the list: the role itself can't be read any more.
    onSuccess: () => queries.invalidateQueries({ queryKey: rolesOptions.queryKey }),
  });
}
