import { useLingui } from "@lingui/react/macro";
import type { Comparison } from "@/api/experiments";
import { ExperimentLink, TaskLink } from "@/design/refs";
import { Metric } from "@/design/values";
import { bestOf, betterIs } from "./best";
import classes from "./Compare.module.css";
import { showValue } from "./figures";

type Item = Comparison["items"][number];

interface Props {
  label: string;
  /** What the first column names. */
  head: string;
  items: readonly Item[];
  values: Record<string, readonly unknown[]>;
  /** Mark the best number of each row whose name says what is better. */
  best?: boolean;
}

/** Values of several runs side by side, one row for each path. */
export function CompareTable({ label, head, items, values, best = false }: Props) {
  const { t } = useLingui();
  const paths = Object.keys(values).sort();
  return (
    <section className={classes.scroll} tabIndex={0} aria-label={label}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">{head}</th>
            {items.map((item, index) => (
              <th key={item.uuid} scope="col" data-number={best || undefined}>
                <span
                  aria-hidden
                  className={classes.swatch}
                  style={{ background: `var(--chart-${(index % 10) + 1})` }}
                />
                {item.kind === "run" ? (
                  <TaskLink uuid={item.uuid} name={item.name} />
                ) : (
                  <ExperimentLink uuid={item.uuid} name={item.name} />
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {paths.map((path) => {
            const row = values[path] ?? [];
            const winner = best ? bestOf(path, row) : null;
            return (
              <tr key={path}>
                <th scope="row" className="mono">
                  {path}
                </th>
                {items.map((item, index) => {
                  const value = row[index];
                  const number = typeof value === "number";
                  return (
                    <td
                      key={item.uuid}
                      data-number={best || undefined}
                      className={winner === index ? classes.best : undefined}
                      title={winner === index ? t`best` : undefined}
                    >
                      {number ? (
                        <Metric value={value} />
                      ) : (
                        <span className="mono">{showValue(value)}</span>
                      )}
                      {winner === index && (
                        <span className="visually-hidden">
                          {betterIs(path) === "lower" ? t`(lowest)` : t`(highest)`}
                        </span>
                      )}
                    </td>
                  );
                })}
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
