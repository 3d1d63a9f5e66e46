import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { IconDownload } from "@tabler/icons-react";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import classes from "./Chart.module.css";
import { downloadCsv, downloadPng } from "./download";
import { Legend } from "./Legend";
import {
  buildOptions,
  type ChartSettings,
  DEFAULT_SETTINGS,
  visibleRange,
  type XKind,
} from "./options";
import { robustRange, type Series, smooth } from "./series";

interface Props {
  title: string;
  series: readonly Series[];
  x?: XKind;
  settings?: ChartSettings;
  height?: number;
  /** Charts with the same name share cursor and zoom. */
  sync?: string;
  /** Keys of series that are not drawn. */
  hidden?: ReadonlySet<string>;
  onToggle?: (key: string) => void;
  /** Called after a zoom with what is shown, so that a page can fetch it in full; null is all. */
  onZoom?: (range: [number, number] | null) => void;
}

/** Curves over steps or time: drag to zoom, double-click to reset, shift-drag to move. */
export function Chart(props: Props) {
  const { title, series, x = "step", settings = DEFAULT_SETTINGS, height = 200, sync } = props;
  const { t, i18n } = useLingui();
  const scheme = useComputedColorScheme();
  const { ref: box, width } = useElementSize();
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const zoomed = useRef(props.onZoom);
  zoomed.current = props.onZoom;

  const drawn = useMemo(
    () =>
      series.map((line, index) => ({
        ...line,
        color: line.color ?? index + 1,
        smooth: smooth(line.points, settings.smoothing),
      })),
    [series, settings.smoothing],
  );
  const data = useMemo(() => align(drawn, settings.smoothing > 0), [drawn, settings.smoothing]);
  const range = useMemo(() => {
    if (!settings.clip) return null;
    return robustRange(
      drawn.flatMap((line) => line.points.map((point) => point[1])),
      0.02,
    );
  }, [drawn, settings.clip]);
  const shape = drawn.map((line) => `${line.key}:${line.color}`).join("|");
  const hiddenKeys = [...(props.hidden ?? [])].sort().join("|");

  // The chart is rebuilt when its form changes; new data alone is only set.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for the lines
  useEffect(() => {
    if (!holder.current || width === 0) return;
    const lines = drawn.flatMap((line) => {
      const show = !props.hidden?.has(line.key);
      const main = { color: line.color, faint: false, show };
      return settings.smoothing > 0 ? [{ color: line.color, faint: true, show }, main] : [main];
    });
    const options = buildOptions({
      width,
      height,
      x,
      log: settings.log,
      range,
      lines,
      locale: i18n.locale,
      sync,
      onCursor: setCursor,
      onZoom: (visible) => zoomed.current?.(visible),
    });
    const plot = new uPlot(options, data, holder.current);
    chart.current = plot;
    return () => {
      chart.current = null;
      plot.destroy();
    };
  }, [
    shape,
    hiddenKeys,
    settings.smoothing > 0,
    settings.log,
    range?.[0],
    range?.[1],
    x,
    sync,
    scheme,
    i18n.locale,
    height,
    width === 0,
  ]);

  useEffect(() => {
    if (width > 0) chart.current?.setSize({ width, height });
  }, [width, height]);
  useEffect(() => {
    const plot = chart.current;
    if (!plot || plot.data === data) return;
    const whole = visibleRange(plot) === null;
    plot.setData(data, whole);
    if (!whole) plot.redraw();
  }, [data]);

  return (
    <figure className={classes.chart} aria-label={title}>
      <figcaption className={classes.caption}>
        <span className="truncate">{title}</span>
        <Menu>
          <Menu.Target>
            <ActionIcon size="sm" aria-label={t`Download ${title}`}>
              <IconDownload size={15} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={() => chart.current && downloadPng(chart.current, title)}>
              PNG
            </Menu.Item>
            <Menu.Item onClick={() => downloadCsv(x, series, title)}>CSV</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </figcaption>
      <div ref={box} style={{ height }}>
        <div ref={holder} />
      </div>
      <Legend lines={drawn} x={x} cursor={cursor} hidden={props.hidden} onToggle={props.onToggle} />
    </figure>
  );
}

/** Return the data as uPlot takes them: one column of x, and one of y for each line. */
function align(
  lines: readonly (Series & { smooth: readonly (readonly [number, number])[] })[],
  withRaw: boolean,
): uPlot.AlignedData {
  if (lines.length === 0) return [[]];
  const tables = lines.map((line) => {
    const xs = line.points.map((point) => point[0]);
    const smoothed = line.smooth.map((point) => point[1]);
    const raw = line.points.map((point) => point[1]);
    return (withRaw ? [xs, raw, smoothed] : [xs, smoothed]) as uPlot.AlignedData;
  });
  return tables.length === 1 && tables[0] ? tables[0] : uPlot.join(tables);
}
