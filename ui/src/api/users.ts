import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import { PAGED } from "./pages";
import type { Schema } from "./types";

const USERS = "/api/v1/users";
const USER = "/api/v1/users/{user}";
const KEYS = "/api/v1/users/{user}/keys";
const INVITATIONS = "/api/v1/invitations";

export type User = Schema<"UserOut">;
export type UserDetails = Schema<"UserDetails">;

export interface UserFilter {
  q?: string;
  role?: string;
  active?: boolean;
}

export const useUsers = (filter: UserFilter) =>
  $api.useInfiniteQuery("get", USERS, { params: { query: { limit: 50, ...filter } } }, PAGED);

export const userOptions = (user: string) =>
  $api.queryOptions("get", USER, { params: { path: { user } } });

export const userKeysOptions = (user: string) =>
  $api.queryOptions("get", KEYS, { params: { path: { user }, query: { limit: 200 } } });

/** The projects that a user owns: before the account goes, they need another owner. */
export const ownedProjectsOptions = (user: string) =>
  queryOptions({
    queryKey: ["owned-projects", user],
    queryFn: async () => {
      const { data } = await api.GET("/api/v1/projects", { params: { query: { limit: 500 } } });
      return (data?.items ?? []).filter((project) => project.owner?.uuid === user);
    },
  });

export const invitationsOptions = (onlyOpen: boolean) =>
  $api.queryOptions("get", INVITATIONS, {
    params: { query: { only_open: onlyOpen, limit: 200 } },
  });

function useRefreshUsers(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) => [USERS, USER, KEYS, INVITATIONS].includes(String(queryKey[1])),
    });
}

export function useCreateUser() {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: async (body: Schema<"UserIn">) => {
      const { data } = await api.POST(USERS, { body });
      return data as User;
    },
    onSuccess: refresh,
  });
}

export function useChangeUser(user: string) {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: (body: Schema<"UserChanges">) =>
      api.PATCH(USER, { params: { path: { user }, header: ifMatch() }, body }),
    onSuccess: refresh,
  });
}

/** Deactivate an account, or let it sign in again. */
export function useActivateUser(user: string) {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: (active: boolean) =>
      active
        ? api.POST("/api/v1/users/{user}/activate", { params: { path: { user } } })
        : api.POST("/api/v1/users/{user}/deactivate", { params: { path: { user } } }),
    onSuccess: refresh,
  });
}

export function useDeleteUser(user: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (transferTo: string | null) =>
      api.DELETE(USER, {
        params: { path: { user }, query: transferTo ? { transfer_to: transferTo } : {} },
      }),
    // Only the lists: the account itself can't be read any more.
    onSuccess: () =>
      queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] === USERS }),
  });
}

/** Create a link that sets a new password once. */
export function useIssueReset(user: string) {
  return useMutation({
    mutationFn: async () => {
      const { data } = await api.POST("/api/v1/users/{user}/password-reset", {
        params: { path: { user } },
      });
      return data as Schema<"LinkOut">;
    },
  });
}

export function useEndUserSessions(user: string) {
  return useMutation({
    mutationFn: async () => {
      const { data } = await api.DELETE("/api/v1/users/{user}/sessions", {
        params: { path: { user } },
      });
      return data as Schema<"EndedOut">;
    },
  });
}

export function useRemoveTotp(user: string) {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: () => api.DELETE("/api/v1/users/{user}/totp", { params: { path: { user } } }),
    onSuccess: refresh,
  });
}

export function useRevokeUserKey(user: string) {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: (key: string) =>
      api.DELETE("/api/v1/users/{user}/keys/{key}", { params: { path: { user, key } } }),
    onSettled: refresh,
  });
}

/** Create a link that creates one account. */
export function useInvite() {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: async (body: Schema<"InvitationIn">) => {
      const { data } = await api.POST(INVITATIONS, { body });
      return data as Schema<"NewInvitationOut">;
    },
    onSuccess: refresh,
  });
}

export function useRevokeInvitation() {
  const refresh = useRefreshUsers();
  return useMutation({
    mutationFn: (invitation: string) =>
      api.DELETE("/api/v1/invitations/{invitation}", { params: { path: { invitation } } }),
    onSettled: refresh,
  });
}
