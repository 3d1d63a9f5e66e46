import { useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { formatMetric } from "@/design/format";
import { type Entry, show } from "./flatten";
import classes from "./Models.module.css";

interface Props {
  label: string;
  title?: string;
  entries: readonly Entry[];
  empty: string;
}

/** Figures or facts, one in each line. */
export function EntryTable({ label, title, entries, empty }: Props) {
  const { i18n } = useLingui();
  return (
    <section className={classes.entries}>
      {title && (
        <Title order={2} mb="xs">
          {title}
        </Title>
      )}
      {entries.length === 0 ? (
        <Text c="dimmed">{empty}</Text>
      ) : (
        <table className={classes.table} aria-label={label}>
          <tbody>
            {entries.map(({ key, value }) => (
              <tr key={key}>
                <th scope="row">{key}</th>
                <td data-number={typeof value === "number" || undefined}>
                  {typeof value === "number" ? formatMetric(value, i18n.locale) : show(value)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
