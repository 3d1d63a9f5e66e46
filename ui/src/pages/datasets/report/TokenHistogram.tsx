import { useLingui } from "@lingui/react/macro";
import type { Schema } from "@/api/types";
import { formatNumber, formatPercent } from "@/design/format";
import classes from "./Bars.module.css";

const WIDTH = 480;
const HEIGHT = 140;

/** How long the rows are in tokens, with the length at which training cuts them. */
export function TokenHistogram({ tokens }: { tokens: Schema<"TokenSummary"> }) {
  const { t, i18n } = useLingui();
  const { width, counts } = tokens.histogram;
  const number = (value: number) => formatNumber(value, i18n.locale);
  const most = Math.max(...counts, 1);
  const span = width * counts.length;
  const step = WIDTH / counts.length;
  const at = (value: number) => Math.min(WIDTH, (value / span) * WIDTH);
  const limit = tokens.max_length <= span ? at(tokens.max_length) : null;
  const summary = t`Half of the rows have at most ${number(tokens.p50)} tokens, 95 % at most ${number(tokens.p95)}, the longest ${number(tokens.max)}.`;
  return (
    <figure className={classes.figure}>
      <figcaption className={classes.title}>{t`Tokens per row`}</figcaption>
      <svg
        className={classes.histogram}
        viewBox={`0 0 ${WIDTH} ${HEIGHT + 18}`}
        role="img"
        aria-label={summary}
      >
        {counts.map((count, index) => {
          const height = (count / most) * HEIGHT;
          const from = index * width;
          return (
            <rect
              // biome-ignore lint/suspicious/noArrayIndexKey: bins never change their order
              key={index}
              className={from >= tokens.max_length ? classes.beyond : classes.bin}
              x={index * step + 0.5}
              y={HEIGHT - Math.max(height, count > 0 ? 1 : 0)}
              width={Math.max(1, step - 1)}
              height={Math.max(height, count > 0 ? 1 : 0)}
            >
              <title>{t`${number(from)} to ${number(from + width - 1)} tokens: ${number(count)} rows`}</title>
            </rect>
          );
        })}
        <line className={classes.axis} x1={0} x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
        {limit !== null && (
          <line className={classes.limit} x1={limit} x2={limit} y1={0} y2={HEIGHT} />
        )}
        <text className={classes.tick} x={0} y={HEIGHT + 14}>
          0
        </text>
        <text className={classes.tick} x={WIDTH} y={HEIGHT + 14} textAnchor="end">
          {number(span)}
        </text>
      </svg>
      <p className={classes.note}>{summary}</p>
      {tokens.over_length > 0 && (
        <p className={classes.note}>
          {t`Training cuts ${number(tokens.over_length)} rows (${formatPercent(tokens.over_length / tokens.rows, i18n.locale)}) at ${number(tokens.max_length)} tokens.`}
        </p>
      )}
      <p className={classes.note}>{t`${number(tokens.total)} tokens in all.`}</p>
    </figure>
  );
}
