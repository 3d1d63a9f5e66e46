import type { Worker } from "@/api/types";

/** Return the state to show: one that sends no heartbeats is lost, or was stopped in order. */
export function workerStatus(worker: Pick<Worker, "alive" | "stopped_at" | "state">): string {
  if (worker.alive) return worker.state;
  return worker.stopped_at ? "stopped" : "lost";
}

/** Return a measured figure of a machine's load. */
export function measured(worker: Pick<Worker, "load">, name: string): number | null {
  const value = worker.load[name];
  return typeof value === "number" ? value : null;
}
