import { useLingui } from "@lingui/react/macro";
import { useElementSize } from "@mantine/hooks";
import { useMemo } from "react";
import type { Trial } from "@/api/sweeps";
import { formatMetric } from "@/design/format";
import { type Axis, coordinate, makeAxes } from "./axes";
import classes from "./Parallel.module.css";
import type { SweepFacts } from "./spec";

interface Props {
  trials: readonly Trial[];
  facts: SweepFacts;
  best: number | null;
  marked: number | null;
  onMark: (trial: number | null) => void;
}

const HEIGHT = 280;
const TOP = 44;
const BOTTOM = 24;
const SIDE = 70;
const NARROWEST = 110;

/** Each trial as a line across its parameters, to the objective on the right. */
export function ParallelCoordinates({ trials, facts, best, marked, onMark }: Props) {
  const { t, i18n } = useLingui();
  const { ref, width: room } = useElementSize();
  const axes = useMemo(
    () => makeAxes(trials, facts.parameters, facts.objective),
    [trials, facts.parameters, facts.objective],
  );
  const width = Math.max(room, SIDE * 2 + (axes.length - 1) * NARROWEST);
  const gap = axes.length > 1 ? (width - SIDE * 2) / (axes.length - 1) : 0;
  const x = (index: number) => SIDE + index * gap;
  const y = (height: number) => TOP + (1 - height) * (HEIGHT - TOP - BOTTOM);
  const bound = (axis: Axis, high: boolean) =>
    axis.words
      ? (axis.words.at(high ? -1 : 0) ?? "")
      : formatMetric(high ? axis.high : axis.low, i18n.locale);
  const toggle = (trial: number) => onMark(trial === marked ? null : trial);
  // The marked and the best line are drawn last, above the others.
  const ordered = [...trials].sort(
    (a, b) => rank(a.number, best, marked) - rank(b.number, best, marked),
  );
  return (
    <div ref={ref} className={classes.scroll}>
      {/* biome-ignore lint/a11y/useSemanticElements: SVG has no fieldset */}
      <svg
        className={classes.svg}
        width={width}
        height={HEIGHT}
        role="group"
        aria-label={t`Parameters and results of the trials; the table below has the same figures`}
      >
        {ordered.map((trial) => {
          const points = axes.flatMap((axis, index) => {
            const last = index === axes.length - 1;
            const height = coordinate(axis, last ? trial.value : trial.params[axis.name]);
            return height === null ? [] : [`${x(index)},${y(height)}`];
          });
          return (
            // biome-ignore lint/a11y/useSemanticElements: SVG has no button
            <polyline
              key={trial.number}
              className={classes.line}
              points={points.join(" ")}
              data-best={trial.number === best || undefined}
              data-marked={trial.number === marked || undefined}
              data-open={trial.value === null || undefined}
              role="button"
              tabIndex={0}
              aria-pressed={trial.number === marked}
              aria-label={t`Trial ${trial.number}: ${formatMetric(trial.value, i18n.locale)}`}
              onClick={() => toggle(trial.number)}
              onKeyDown={(event) => {
                if (event.key !== "Enter" && event.key !== " ") return;
                event.preventDefault();
                toggle(trial.number);
              }}
            >
              <title>{t`Trial ${trial.number}: ${formatMetric(trial.value, i18n.locale)}`}</title>
            </polyline>
          );
        })}
        {axes.map((axis, index) => (
          <g key={axis.name} textAnchor="middle">
            <line className={classes.axis} x1={x(index)} x2={x(index)} y1={TOP} y2={y(0)} />
            <text className={classes.label} x={x(index)} y={16}>
              {axis.name}
            </text>
            <text className={classes.bound} x={x(index)} y={TOP - 8}>
              {bound(axis, true)}
            </text>
            <text className={classes.bound} x={x(index)} y={HEIGHT - 6}>
              {bound(axis, false)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

function rank(number: number, best: number | null, marked: number | null): number {
  if (number === marked) return 2;
  return number === best ? 1 : 0;
}
