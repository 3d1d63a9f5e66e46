export interface NewSweepSearch {
  experiment?: string;
}

export interface SweepSearch {
  /** The number of the trial that is marked. */
  trial?: number;
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

export function readNewSweep(raw: Record<string, unknown>): NewSweepSearch {
  const { experiment } = raw;
  return {
    experiment: typeof experiment === "string" && UUID.test(experiment) ? experiment : undefined,
  };
}

export function readSweep(raw: Record<string, unknown>): SweepSearch {
  const { trial } = raw;
  return { trial: typeof trial === "number" && Number.isInteger(trial) ? trial : undefined };
}
