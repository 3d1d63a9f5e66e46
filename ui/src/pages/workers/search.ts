export const RANGES = ["1h", "6h", "1d", "7d"] as const;
export type Range = (typeof RANGES)[number];

export interface WorkerSearch {
  range?: Range;
}

export function readWorker(search: Record<string, unknown>): WorkerSearch {
  return { range: RANGES.find((range) => range === search.range) };
}

export interface WorkersSearch {
  /** Show workers that have stopped, too. */
  stopped?: boolean;
}

export function readWorkers(search: Record<string, unknown>): WorkersSearch {
  return { stopped: search.stopped === true ? true : undefined };
}
