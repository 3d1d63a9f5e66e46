import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { sessionOptions } from "./session";
import type { Schema } from "./types";

const SESSIONS = "/api/v1/users/me/sessions";
const TOTP = "/api/v1/users/me/totp";
const KEYS = "/api/v1/users/me/keys";

export const sessionsOptions = $api.queryOptions("get", SESSIONS, {
  params: { query: { limit: 200 } },
});

export const totpOptions = $api.queryOptions("get", TOTP);

export const keysOptions = (revoked: boolean) =>
  $api.queryOptions("get", KEYS, { params: { query: { revoked, limit: 200 } } });

/** Return a function that reads again what one path answers. */
function useRefresh(path: string): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] === path });
}

export function useChangeEmail() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Schema<"EmailIn">) => api.PUT("/api/v1/users/me/email", { body }),
    onSuccess: () => queries.invalidateQueries({ queryKey: sessionOptions.queryKey }),
  });
}

export function useEndSession() {
  const refresh = useRefresh(SESSIONS);
  return useMutation({
    mutationFn: (session: string) =>
      api.DELETE("/api/v1/users/me/sessions/{session}", { params: { path: { session } } }),
    onSettled: refresh,
  });
}

export function useEndOtherSessions() {
  const refresh = useRefresh(SESSIONS);
  return useMutation({ mutationFn: () => api.DELETE(SESSIONS, {}), onSettled: refresh });
}

/** Ask for the secret of an authenticator app. Nothing changes before it is confirmed. */
export function useEnrol() {
  return useMutation({
    mutationFn: async (body: Schema<"EnrolIn">) => {
      const { data } = await api.POST(TOTP, { body });
      return data as Schema<"EnrolmentOut">;
    },
  });
}

export function useConfirmTotp() {
  const refresh = useRefresh(TOTP);
  return useMutation({
    mutationFn: async (body: Schema<"CodeIn">) => {
      const { data } = await api.POST("/api/v1/users/me/totp/confirm", { body });
      return (data as Schema<"RecoveryCodesOut">).recovery_codes;
    },
    onSuccess: refresh,
  });
}

export function useRenewRecoveryCodes() {
  const refresh = useRefresh(TOTP);
  return useMutation({
    mutationFn: async (body: Schema<"ProofIn">) => {
      const { data } = await api.POST("/api/v1/users/me/totp/recovery-codes", { body });
      return (data as Schema<"RecoveryCodesOut">).recovery_codes;
    },
    onSuccess: refresh,
  });
}

export function useDisableTotp() {
  const refresh = useRefresh(TOTP);
  return useMutation({
    mutationFn: (body: Schema<"ProofIn">) => api.POST("/api/v1/users/me/totp/disable", { body }),
    onSuccess: refresh,
  });
}

/** Create an API key. The answer alone contains its value. */
export function useCreateKey() {
  const refresh = useRefresh(KEYS);
  return useMutation({
    mutationFn: async (body: Schema<"KeyIn">) => {
      const { data } = await api.POST(KEYS, { body });
      return data as Schema<"NewKeyOut">;
    },
    onSuccess: refresh,
  });
}

export function useRevokeKey() {
  const refresh = useRefresh(KEYS);
  return useMutation({
    mutationFn: (key: string) =>
      api.DELETE("/api/v1/users/me/keys/{key}", { params: { path: { key } } }),
    onSettled: refresh,
  });
}
