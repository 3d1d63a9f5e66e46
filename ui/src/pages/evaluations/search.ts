import type { TaskStatus } from "@/api/types";
import { STATUSES } from "@/pages/tasks/search";

export interface EvaluationListSearch {
  status?: TaskStatus;
  /** Whether the form for a new evaluation is open, and for which model. */
  create?: boolean;
  model?: string;
}

export function readEvaluationList(raw: Record<string, unknown>): EvaluationListSearch {
  return {
    status: STATUSES.find((status) => status === raw.status),
    create: raw.create === true ? true : undefined,
    model: typeof raw.model === "string" ? raw.model : undefined,
  };
}
