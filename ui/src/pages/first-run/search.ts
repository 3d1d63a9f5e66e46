/** How far the first run has come: what it has made, by uuid. */
export interface FirstRunSearch {
  project?: string;
  dataset?: string;
  /** The base model. */
  base?: string;
  /** The task that fixes, or `none` if nothing was to be fixed. */
  fix?: string;
  training?: string;
  heldOut?: string;
  evaluation?: string;
  deployment?: string;
}

const KEYS = [
  "project",
  "dataset",
  "base",
  "fix",
  "training",
  "heldOut",
  "evaluation",
  "deployment",
] as const satisfies readonly (keyof FirstRunSearch)[];

const STORED = "aiplatform.first-run";
const PLAUSIBLE = /^(none|[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12})$/;

/** Read how far the first run has come; what is not understood is left out. */
export function readFirstRun(search: Record<string, unknown>): FirstRunSearch {
  const read: FirstRunSearch = {};
  for (const key of KEYS) {
    const value = search[key];
    if (typeof value === "string" && PLAUSIBLE.test(value)) read[key] = value;
  }
  return read;
}

/** Keep how far the user has come, so that the home page leads back to it. */
export function keepFirstRun(user: string, search: FirstRunSearch): void {
  if (search.project) localStorage.setItem(`${STORED}.${user}`, JSON.stringify(search));
}

/** Return how far the user has come in this browser, or null. */
export function keptFirstRun(user: string): FirstRunSearch | null {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(`${STORED}.${user}`) ?? "null");
    return typeof stored === "object" && stored !== null
      ? readFirstRun(stored as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

export function forgetFirstRun(user: string): void {
  localStorage.removeItem(`${STORED}.${user}`);
}
