import type uPlot from "uplot";
import { formatDuration, formatMetric } from "../format";

export type XKind = "step" | "time" | "relative" | "tokens";

export interface ChartSettings {
  /** 0 to 0.99 */
  smoothing: number;
  log: boolean;
  /** Leave extreme values outside the chart. */
  clip: boolean;
}

export const DEFAULT_SETTINGS: ChartSettings = { smoothing: 0, log: false, clip: false };

/** Return a CSS variable as a colour that a canvas understands. */
export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function seriesColor(place: number): string {
  return cssColor(`--chart-${((place - 1) % 10) + 1}`);
}

export function formatX(kind: XKind, value: number, locale: string): string {
  if (kind === "relative") return formatDuration(value, locale);
  if (kind === "time")
    return new Intl.DateTimeFormat(locale, { timeStyle: "medium" }).format(value * 1000);
  return formatMetric(value, locale);
}

interface Build {
  width: number;
  height: number;
  x: XKind;
  log: boolean;
  range: [number, number] | null;
  lines: readonly { color: number; faint: boolean; show: boolean }[];
  locale: string;
  sync: string | undefined;
  onCursor: (x: number | null) => void;
  onZoom: (range: [number, number] | null) => void;
}

/** Return the options of a chart. Colours are read when they are built: rebuild on a new theme. */
export function buildOptions(build: Build): uPlot.Options {
  const { x, locale, range } = build;
  const axis = {
    stroke: cssColor("--text-secondary"),
    grid: { stroke: cssColor("--hairline"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: build.width,
    height: build.height,
    legend: { show: false },
    scales: {
      x: { time: x === "time" },
      y: {
        distr: build.log ? 3 : 1,
        ...(range && !build.log ? { range: () => range } : {}),
      },
    },
    axes: [
      {
        ...axis,
        space: 70,
        size: 26,
        values: (_chart, values) => values.map((value) => formatX(x, value, locale)),
      },
      {
        ...axis,
        size: 56,
        values: (_chart, values) =>
          values.map((value) => (value === null ? "" : formatMetric(value, locale))),
      },
    ],
    series: [
      {},
      ...build.lines.map(({ color, faint, show }) => ({
        stroke: seriesColor(color),
        width: faint ? 1 : 1.5,
        alpha: faint ? 0.25 : 1,
        show,
        spanGaps: true,
        points: { show: false },
      })),
    ],
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: true },
      ...(build.sync ? { sync: { key: build.sync, scales: ["x", null] } } : {}),
      points: { size: 6 },
    },
    hooks: {
      setCursor: [
        (chart) => {
          const left = chart.cursor.left ?? -1;
          build.onCursor(left < 0 ? null : chart.posToVal(left, "x"));
        },
      ],
      setScale: [
        (chart, key) => {
          if (key === "x") build.onZoom(visibleRange(chart));
        },
      ],
      ready: [panWithShift],
    },
  };
}

/** Return the range that a chart shows, or null if it shows all of its points. */
export function visibleRange(chart: uPlot): [number, number] | null {
  const { min, max } = chart.scales.x ?? {};
  const places = chart.data[0];
  const first = places[0];
  const last = places.at(-1);
  if (min == null || max == null || first === undefined || last === undefined) return null;
  return min <= first && max >= last ? null : [min, max];
}

/** Shift and drag moves the visible part; a drag without shift zooms. */
function panWithShift(chart: uPlot): void {
  chart.over.addEventListener(
    "mousedown",
    (down) => {
      if (!down.shiftKey || down.button !== 0) return;
      down.stopImmediatePropagation();
      down.preventDefault();
      const { min, max } = chart.scales.x ?? {};
      if (min == null || max == null) return;
      const perPixel = (max - min) / chart.over.clientWidth;
      const move = (event: MouseEvent) => {
        const shift = (down.clientX - event.clientX) * perPixel;
        chart.setScale("x", { min: min + shift, max: max + shift });
      };
      const up = () => {
        document.removeEventListener("mousemove", move);
        document.removeEventListener("mouseup", up);
      };
      document.addEventListener("mousemove", move);
      document.addEventListener("mouseup", up);
    },
    { capture: true },
  );
}
