import type { Task } from "@/api/types";

export interface ProgressDetail {
  step: number | null;
  steps: number | null;
  secondsLeft: number | null;
  /** The latest of the values that the task reports with its progress. */
  loss: number | null;
}

/** Return what a task reports beside its share of progress. */
export function readProgress(task: Pick<Task, "progress_detail">): ProgressDetail {
  const detail = task.progress_detail ?? {};
  return {
    step: number(detail.step),
    steps: number(detail.total_steps ?? detail.steps ?? detail.total),
    secondsLeft: number(detail.seconds_left),
    loss: number(detail.loss),
  };
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Return the seconds that a task has run: until its end, else until now. */
export function runSeconds(
  task: Pick<Task, "started_at" | "completed_at">,
  now: number,
): number | null {
  if (!task.started_at) return null;
  const end = task.completed_at ? Date.parse(task.completed_at) : now;
  return Math.max(0, (end - Date.parse(task.started_at)) / 1000);
}
