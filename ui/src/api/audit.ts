import { $api } from "./client";
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

/** Return the address from which a browser downloads what matches. */
export function auditExport(format: "jsonl" | "csv", filter: AuditFilter): string {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
  return `/api/v1/audit/export?${query}`;
}
