import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { PAGED } from "./pages";
import type { Schema } from "./types";

export type AuditEntry = Schema<"AuditOut">;
export type Outcome = "success" | "denied" | "failure";

export interface AuditFilter {
  filter?: string;
  text?: string;
  outcome?: Outcome;
  since?: string;
}

export const useAudit = (filter: AuditFilter) =>
  $api.useInfiniteQuery(
    "get",
    "/api/v1/audit",
    { params: { query: { limit: 100, ...filter } } },
    PAGED,
  );

const VERIFICATION = "/api/v1/audit/verification";

export type Verification = Schema<"AuditVerificationOut">;

const verificationOptions = $api.queryOptions("get", VERIFICATION);

/** The verification that was requested last; it is read again while one runs. */
export const useVerification = () =>
  $api.useQuery("get", VERIFICATION, undefined, {
    refetchInterval: ({ state }) => (state.data?.state === "running" ? 1_000 : false),
  });

export function useVerify() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.POST(VERIFICATION),
    // Also when it was refused: another verification is running then.
    onSettled: () => queries.invalidateQueries({ queryKey: verificationOptions.queryKey }),
  });
}

/** Return the address from which a browser downloads what matches. */
export function auditExport(format: "jsonl" | "csv", filter: AuditFilter): string {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
  return `/api/v1/audit/export?${query}`;
}
