import { useLingui } from "@lingui/react/macro";
import { formatNumber } from "@/design/format";
import classes from "./Bars.module.css";

export interface Bar {
  label: string;
  value: number;
  /** The value as text; by default the number. */
  text?: string;
  tone?: string;
}

/** Horizontal bars with their names and values: a chart that is also a list. */
export function Bars({
  title,
  bars,
  note,
}: {
  title: string;
  bars: readonly Bar[];
  note?: string;
}) {
  const { i18n } = useLingui();
  const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
  return (
    <figure className={classes.figure}>
      <figcaption className={classes.title}>{title}</figcaption>
      <dl className={classes.bars}>
        {bars.map(({ label, value, text, tone }) => (
          <div key={label} className={classes.bar}>
            <dt className="truncate" title={label}>
              {label}
            </dt>
            <dd>
              <span className={classes.track} aria-hidden>
                <span
                  className={classes.fill}
                  data-tone={tone}
                  style={{ width: `${Math.max(1, (value / most) * 100)}%` }}
                />
              </span>
              <span className={classes.value}>{text ?? formatNumber(value, i18n.locale)}</span>
            </dd>
          </div>
        ))}
      </dl>
      {note && <p className={classes.note}>{note}</p>}
    </figure>
  );
}
