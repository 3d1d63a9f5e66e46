/** Preparation of the curves of several runs. Pure functions. */
import type { Comparison } from "@/api/experiments";
import type { Schema } from "@/api/types";
import type { XKind } from "@/design/chart/options";
import { readPoints, type Series, withDetail } from "@/design/chart/series";

type Line = Schema<"LineOut">;
type Charts = Schema<"ChartsOut">["charts"];
type RawPoint = readonly (number | string)[];

export interface CurveItem {
  /** The task of the run. */
  task: string;
  label: string;
  /** 1 to 10; the run has this colour on all charts. */
  color: number;
}

type Compared = Comparison["items"];

const ENDED = ["completed", "failed", "cancelled"];

/** Return the runs of a comparison that can be drawn. */
export function curveItems(compared: Compared): CurveItem[] {
  return compared.flatMap((item, index) => {
    const task = item.kind === "run" ? item.uuid : item.run;
    return task ? [{ task, label: item.name, color: (index % 10) + 1 }] : [];
  });
}

/** Return whether something that is compared has not ended yet. */
export function isLive(compared: Compared): boolean {
  return compared.some((item) => !ENDED.includes(item.status));
}

export interface CurvePanel {
  title: string;
  series: Series[];
}

export const SPEED = "tokens_per_second";
export const STEP_TIME = "seconds_per_step";
/** Series that say how a training advances, not how good the model is: their charts come last. */
const TECHNICAL = [SPEED, STEP_TIME, "epoch", "learning_rate", "grad_norm"];

/** Return one chart for each key, with a line for each run that has the series. */
export function curvePanels(
  charts: Charts,
  keys: readonly string[],
  items: readonly CurveItem[],
  x: XKind,
): CurvePanel[] {
  const places = new Map(items.map((item) => [item.task, placeOf(charts, item.task, x)]));
  return [...keys]
    .sort(byRank)
    .map((key) => ({
      title: key,
      series: items.flatMap((item) => {
        const line = lineOf(charts, key, item.task);
        const place = places.get(item.task);
        if (!line || !place) return [];
        const points = readPoints(line.points, place);
        return [{ key: item.task, label: item.label, color: item.color, points }];
      }),
    }))
    .filter(({ series }) => series.some(({ points }) => points.length > 0));
}

/** Return the charts with the points of a part in more detail. */
export function refined(whole: Charts, detail: Charts | undefined): Charts {
  const charts = Object.entries(whole).map(([key, lines]) => [
    key,
    lines.map((line) => ({
      ...line,
      points: withDetail(line.points, detail && lineOf(detail, key, line.task)?.points),
    })),
  ]);
  return Object.fromEntries(charts);
}

/** The API draws at most this many metrics together. */
const MOST_KEYS = 20;

/** Return the metrics to draw if there are too many: losses first, technical ones last. */
export function mostImportant(keys: readonly string[]): string[] {
  return [...keys].sort(byRank).slice(0, MOST_KEYS);
}

function byRank(a: string, b: string): number {
  return rank(a) - rank(b) || a.localeCompare(b);
}

function rank(key: string): number {
  if (key === "loss") return 0;
  if (TECHNICAL.includes(key)) return 3;
  return key.includes("loss") || key.includes("accuracy") ? 1 : 2;
}

function lineOf(charts: Charts, key: string, task: string): Line | undefined {
  return charts[key]?.find((line) => line.task === task);
}

/** Return the horizontal place of the points of a run. */
function placeOf(charts: Charts, task: string, x: XKind): ((point: RawPoint) => number) | null {
  if (x === "step") return (point) => Number(point[0]);
  if (x === "time") return (point) => Number(point[2]);
  if (x === "relative") {
    const start = firstTime(charts, task);
    return (point) => Number(point[2]) - start;
  }
  const tokens = tokensByStep(charts, task);
  return tokens && ((point) => tokens(Number(point[0])));
}

function firstTime(charts: Charts, task: string): number {
  let first = Number.POSITIVE_INFINITY;
  for (const key of Object.keys(charts))
    for (const point of lineOf(charts, key, task)?.points ?? [])
      first = Math.min(first, Number(point[2]));
  return first;
}

/**
 * Return the number of tokens that a training has read at a step, or null if it did not measure
 * its speed. The tokens of a step are its speed times its duration, between the measured steps.
 */
export function tokensByStep(charts: Charts, task: string): ((step: number) => number) | null {
  const speeds = lineOf(charts, SPEED, task)?.points ?? [];
  const times = new Map(
    (lineOf(charts, STEP_TIME, task)?.points ?? []).map((point) => [Number(point[0]), point]),
  );
  const steps: number[] = [];
  const totals: number[] = [];
  let total = 0;
  for (const point of speeds) {
    const step = Number(point[0]);
    const seconds = Number(times.get(step)?.[1]);
    const perStep = Number(point[1]) * seconds;
    if (!Number.isFinite(perStep)) continue;
    total += perStep * (step - (steps.at(-1) ?? 0));
    steps.push(step);
    totals.push(total);
  }
  if (steps.length === 0) return null;
  return (step) => interpolate(steps, totals, step);
}

function interpolate(xs: readonly number[], ys: readonly number[], x: number): number {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((xs[middle] ?? 0) < x) low = middle + 1;
    else high = middle;
  }
  const right = xs[low] ?? 0;
  const top = ys[low] ?? 0;
  const left = low > 0 ? (xs[low - 1] ?? 0) : 0;
  const bottom = low > 0 ? (ys[low - 1] ?? 0) : 0;
  if (x >= right || right === left) return top;
  return bottom + ((top - bottom) * (x - left)) / (right - left);
}
