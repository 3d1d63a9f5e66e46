export interface ScheduleListSearch {
  /** Whether the form for a new schedule is open, and for which experiment. */
  create?: boolean;
  experiment?: string;
}

export interface ScheduleSearch {
  edit?: boolean;
}

export function readScheduleList(raw: Record<string, unknown>): ScheduleListSearch {
  return {
    create: raw.create === true ? true : undefined,
    experiment: typeof raw.experiment === "string" ? raw.experiment : undefined,
  };
}

export function readSchedule(raw: Record<string, unknown>): ScheduleSearch {
  return { edit: raw.edit === true ? true : undefined };
}
