import type { Outcome } from "@/api/audit";

const OUTCOMES: readonly Outcome[] = ["success", "denied", "failure"];
export const RANGES = ["1d", "7d", "30d"] as const;
export type Range = (typeof RANGES)[number];

export interface AuditSearch {
  filter?: string;
  text?: string;
  outcome?: Outcome;
  range?: Range;
  /** The entry that is shown beside the list. */
  entry?: string;
}

/** Read the filters of the trail from the address; what is not understood is left out. */
export function readAudit(search: Record<string, unknown>): AuditSearch {
  const text = (value: unknown) => (typeof value === "string" && value ? value : undefined);
  return {
    filter: text(search.filter),
    text: text(search.text),
    outcome: OUTCOMES.find((outcome) => outcome === search.outcome),
    range: RANGES.find((range) => range === search.range),
    entry: text(search.entry),
  };
}
