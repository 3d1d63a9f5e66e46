import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { $api, api } from "./client";
import { covers } from "./permissions";
import { ProblemError } from "./problem";
import type { Answer, Schema } from "./types";

export type BrowserSession = Answer<"/api/v1/browser-session">;
export type Preferences = Partial<BrowserSession["preferences"]>;

/** Who uses this browser. It is read again, and so renewed, before the session would end. */
export const sessionOptions = $api.queryOptions("get", "/api/v1/browser-session", undefined, {
  staleTime: 60_000,
  retry: (failures, error: unknown) => !(error instanceof ProblemError) && failures < 5,
  refetchInterval: ({ state }) => (state.data ? Math.max(state.data.renew_in, 30) * 1000 : false),
});

/** Return the signed-in user; pages below the shell always have one. */
export function useMe(): BrowserSession["user"] {
  return useSuspenseQuery(sessionOptions).data.user;
}

/** Return the session if there is one. */
export function useSession(): BrowserSession | undefined {
  return useQuery({ ...sessionOptions, enabled: false }).data;
}

/** Return whether the user's role grants a permission everywhere. */
export function useCan(): (permission: string) => boolean {
  const held = useMe().permissions;
  return (permission) => covers(held, permission);
}

export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"BrowserSignInIn">) => {
      const { data } = await api.POST("/api/v1/browser-session", { body });
      return data as BrowserSession;
    },
    onSuccess: (session) => {
      queries.clear();
      queries.setQueryData(sessionOptions.queryKey, session);
    },
  });
}

export function useSsoSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"SsoCodeIn">) => {
      const { data } = await api.POST("/api/v1/browser-session/sso", { body });
      return data as BrowserSession;
    },
    onSuccess: (session) => {
      queries.clear();
      queries.setQueryData(sessionOptions.queryKey, session);
    },
  });
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE("/api/v1/browser-session", {}),
    onSettled: () => queries.clear(),
  });
}

/** Keep language and theme in the account, so that they follow it to other browsers. */
export function useSavePreferences() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (preferences: Preferences) => {
      const { data } = await api.PATCH("/api/v1/browser-session", { body: preferences });
      return data as BrowserSession;
    },
    onSuccess: (session) => queries.setQueryData(sessionOptions.queryKey, session),
  });
}

export const useSso = () =>
  $api.useQuery("get", "/api/v1/auth/oidc", undefined, { staleTime: Number.POSITIVE_INFINITY });

export const useChangePassword = () => $api.useMutation("put", "/api/v1/users/me/password");
export const useAcceptInvitation = () => $api.useMutation("post", "/api/v1/auth/accept-invitation");
export const useForgotPassword = () => $api.useMutation("post", "/api/v1/auth/forgot-password");
export const useResetPassword = () => $api.useMutation("post", "/api/v1/auth/reset-password");
