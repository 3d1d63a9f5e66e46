import { useLingui } from "@lingui/react/macro";
import { UnstyledButton } from "@mantine/core";
import { formatMetric } from "../format";
import classes from "./Chart.module.css";
import { formatX, type XKind } from "./options";
import { type Series, valueAt } from "./series";

interface Line extends Series {
  color: number;
}

interface Props {
  lines: readonly Line[];
  x: XKind;
  cursor: number | null;
  hidden?: ReadonlySet<string>;
  onToggle?: (key: string) => void;
}

const SHOWN = 12;

/** The values under the cursor, highest first; else the last and the least of each line. */
export function Legend({ lines, x, cursor, hidden, onToggle }: Props) {
  const { t, i18n } = useLingui();
  const rows = lines.map((line) => ({ line, ...figures(line, cursor) }));
  if (cursor !== null) rows.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
  const format = (value: number | null) => formatMetric(value, i18n.locale);
  return (
    <ul className={classes.legend}>
      {rows.slice(0, SHOWN).map(({ line, value, least }) => {
        const off = hidden?.has(line.key) ?? false;
        const text = (
          <>
            <span
              className={classes.swatch}
              style={{ background: `var(--chart-${((line.color - 1) % 10) + 1})` }}
              aria-hidden
            />
            <span className="truncate">{line.label}</span>
            <span className={classes.value}>{format(value)}</span>
            {cursor === null && <span className={classes.least}>{t`min ${format(least)}`}</span>}
          </>
        );
        return (
          <li key={line.key} data-off={off || undefined}>
            {onToggle ? (
              <UnstyledButton
                className={classes.entry}
                aria-pressed={!off}
                onClick={() => onToggle(line.key)}
              >
                {text}
              </UnstyledButton>
            ) : (
              <span className={classes.entry}>{text}</span>
            )}
          </li>
        );
      })}
      {cursor !== null && <li className={classes.place}>{formatX(x, cursor, i18n.locale)}</li>}
    </ul>
  );
}

function figures(
  line: Line,
  cursor: number | null,
): { value: number | null; least: number | null } {
  if (cursor !== null) return { value: valueAt(line.points, cursor), least: null };
  let least: number | null = null;
  for (const [, y] of line.points) if (least === null || y < least) least = y;
  return { value: line.points.at(-1)?.[1] ?? null, least };
}
