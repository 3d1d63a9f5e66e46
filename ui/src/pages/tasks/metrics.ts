import type { Schema } from "@/api/types";
import type { XKind } from "@/design/chart/options";
import { readPoints, type Series, withDetail } from "@/design/chart/series";

type SeriesOut = Schema<"SeriesOut">;

/** Return the series with the values of one more step. A step that comes again counts once. */
export function addPoint(before: SeriesOut, point: Schema<"MetricsData">): SeriesOut {
  const series = { ...before.series };
  for (const [key, value] of Object.entries(point.values)) {
    const known = series[key] ?? [];
    const last = known.at(-1)?.[0];
    if (last !== undefined && Number(last) > point.step) continue;
    const kept = Number(last) === point.step ? known.slice(0, -1) : known;
    series[key] = [...kept, [point.step, value ?? "NaN", point.time]];
  }
  return { series };
}

/** Return the series with the points of a part in more detail. */
export function refined(whole: SeriesOut, detail: SeriesOut | undefined): SeriesOut {
  const series = Object.entries(whole.series).map(([key, points]) => [
    key,
    withDetail(points, detail?.series[key]),
  ]);
  return { series: Object.fromEntries(series) };
}

/** The horizontal places of points `[step, value, time]`. */
export function placeOf(x: XKind, start: number): (point: readonly (number | string)[]) => number {
  if (x === "step") return (point) => Number(point[0]);
  if (x === "time") return (point) => Number(point[2]);
  return (point) => Number(point[2]) - start;
}

export interface Panel {
  title: string;
  series: Series[];
}

/**
 * Return one chart for each metric; `train/loss` and `eval/loss` share a chart, as do `loss` and
 * `eval_loss`. Losses come first.
 */
export function panels(data: SeriesOut, x: XKind, start: number): Panel[] {
  const charts = new Map<string, Series[]>();
  for (const key of Object.keys(data.series).sort()) {
    const points = readPoints(data.series[key] ?? [], placeOf(x, start));
    const title = key.replace(/^(train|eval|test|val)[/_]/, "");
    const chart = charts.get(title) ?? [];
    charts.set(title, [...chart, { key, label: key, points }]);
  }
  return [...charts]
    .map(([title, series]) => ({ title, series }))
    .sort((a, b) => rank(a.title) - rank(b.title) || a.title.localeCompare(b.title));
}

function rank(title: string): number {
  if (title === "loss") return 0;
  return title.includes("loss") || title.includes("accuracy") ? 1 : 2;
}
