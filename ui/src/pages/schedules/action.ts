/** What a schedule does, read from and written to its action. Pure functions. */
import type { Schema } from "@/api/types";

type ActionIn = Schema<"ScheduleIn">["action"];

export interface ScheduledAction {
  kind: "run" | "report" | "other";
  /** The experiment of a run, or the dataset of a report. */
  subject: string;
  /** The type of the task that it submits. */
  type: string;
}

export function readAction(action: Record<string, unknown>): ScheduledAction {
  if (action.kind === "run")
    return { kind: "run", subject: String(action.experiment ?? ""), type: "training" };
  const spec = record(action.spec);
  const type = String(spec.type ?? "");
  const dataset = record(spec.dataset).dataset;
  return type === "data_quality"
    ? { kind: "report", subject: String(dataset ?? ""), type }
    : { kind: "other", subject: "", type };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** Return the action that starts runs of an experiment, or makes reports of a dataset. */
export function writeAction(kind: "run" | "report", subject: string, name: string): ActionIn {
  if (kind === "run") return { kind: "run", experiment: subject, priority: 5 };
  return {
    kind: "task",
    name,
    priority: 5,
    spec: {
      type: "data_quality",
      dataset: { dataset: subject, version: null },
      max_length: 512,
      queue: "default",
      max_attempts: 3,
      retry_seconds: 10,
    },
  };
}
