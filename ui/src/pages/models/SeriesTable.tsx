import { useLingui } from "@lingui/react/macro";
import { Title } from "@mantine/core";
import { formatMetric } from "@/design/format";
import { show } from "./flatten";
import classes from "./Models.module.css";
import type { Summary } from "./metrics";

/** The series of the training that made a model, one in each line. */
export function SeriesTable({ series }: { series: Record<string, Summary> }) {
  const { t, i18n } = useLingui();
  const keys = Object.keys(series).sort();
  if (keys.length === 0) return null;
  const columns = [
    { label: t`First value`, of: (summary: Summary) => summary.first },
    { label: t`Last value`, of: (summary: Summary) => summary.last },
    { label: t`Lowest`, of: (summary: Summary) => summary.min },
    { label: t`Highest`, of: (summary: Summary) => summary.max },
    { label: t`Points`, of: (summary: Summary) => summary.points },
  ];
  return (
    <section className={classes.entries}>
      <Title order={2} mb="xs">{t`Series of the training`}</Title>
      <div className={classes.scroll}>
        <table className={classes.table} aria-label={t`Series of the training`}>
          <thead>
            <tr>
              <th scope="col">{t`Metric`}</th>
              {columns.map(({ label }) => (
                <th key={label} scope="col" data-number>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {keys.map((key) => (
              <tr key={key}>
                <th scope="row">{key}</th>
                {columns.map(({ label, of }) => {
                  const value = series[key] && of(series[key]);
                  return (
                    <td key={label} data-number>
                      {typeof value === "number" ? formatMetric(value, i18n.locale) : show(value)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
