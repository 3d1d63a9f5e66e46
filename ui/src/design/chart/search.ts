import { type ChartSettings, DEFAULT_SETTINGS, type XKind } from "./options";

/** The settings of a page's charts, as its address has them. What is as usual is left out. */
export interface ChartSearch {
  x?: XKind;
  smooth?: number;
  log?: true;
  clip?: true;
  /** Keys of lines that are not drawn. */
  hidden?: string[];
}

const KINDS: readonly XKind[] = ["step", "relative", "time", "tokens"];

/** Read the settings of charts from the address; what is not understood is left out. */
export function readChartSearch(search: Record<string, unknown>): ChartSearch {
  const smooth = typeof search.smooth === "number" ? search.smooth : 0;
  const hidden = Array.isArray(search.hidden)
    ? search.hidden.filter((key): key is string => typeof key === "string")
    : [];
  return {
    x: KINDS.find((kind) => kind === search.x),
    smooth: smooth > 0 && smooth <= 0.99 ? smooth : undefined,
    log: search.log === true ? true : undefined,
    clip: search.clip === true ? true : undefined,
    hidden: hidden.length > 0 ? hidden : undefined,
  };
}

/** Return the settings that an address stands for. */
export function settingsOf(search: ChartSearch): ChartSettings {
  return {
    smoothing: search.smooth ?? DEFAULT_SETTINGS.smoothing,
    log: search.log ?? DEFAULT_SETTINGS.log,
    clip: search.clip ?? DEFAULT_SETTINGS.clip,
  };
}

/** Return what the address says of settings: only what differs from the usual. */
export function searchOf(
  settings: ChartSettings,
  x: XKind,
  hidden: ReadonlySet<string>,
): ChartSearch {
  return {
    x: x === "step" ? undefined : x,
    smooth: settings.smoothing > 0 ? settings.smoothing : undefined,
    log: settings.log || undefined,
    clip: settings.clip || undefined,
    hidden: hidden.size > 0 ? [...hidden].sort() : undefined,
  };
}
