import { useLingui } from "@lingui/react/macro";
import { Select, Text } from "@mantine/core";
import type { ColumnTarget } from "@/api/datasets";
import type { ReadingOptions } from "@/api/uploads";
import { useShapeLabel } from "../labels";
import { cellText } from "../rows/cells";
import { shapeOf, TARGETS } from "./shapes";
import classes from "./Upload.module.css";

export type ColumnTypes = NonNullable<ReadingOptions["types"]>;
export type ColumnMap = NonNullable<ReadingOptions["map"]>;

interface Props {
  columns: readonly string[];
  rows: readonly Readonly<Record<string, unknown>>[];
  map: ColumnMap;
  onMap: (map: ColumnMap) => void;
  /** Types can be chosen for CSV only. */
  types?: ColumnTypes;
  onTypes?: (types: ColumnTypes) => void;
}

/** Say what columns are; the first rows show the result immediately. */
export function MappingTable({ columns, rows, map, onMap, types, onTypes }: Props) {
  const { t } = useLingui();
  const shapeLabel = useShapeLabel();
  const typeLabels: [ColumnTypes[string], string][] = [
    ["text", t`Text`],
    ["integer", t`Whole number`],
    ["number", t`Number`],
    ["boolean", t`True or false`],
    ["date", t`Date`],
    ["timestamp", t`Time`],
  ];
  const shape = shapeOf(columns, map, rows, onTypes !== undefined);
  const taken = new Set(Object.values(map));
  const set = (column: string, target: ColumnTarget | null) => {
    const { [column]: _, ...others } = map;
    onMap(target ? { ...others, [column]: target } : others);
  };
  const setType = (column: string, type: ColumnTypes[string] | null) => {
    const { [column]: _, ...others } = types ?? {};
    onTypes?.(type ? { ...others, [column]: type } : others);
  };
  return (
    <>
      <Text size="sm" mb="xs" aria-live="polite">
        {shape === "table"
          ? t`The columns make a plain table. For training, say below which column is what.`
          : t`The rows will be read as: ${shapeLabel(shape)}.`}
      </Text>
      <section className={classes.preview} tabIndex={0} aria-label={t`First rows`}>
        <table className={classes.table}>
          <thead>
            <tr>
              {columns.map((column) => (
                <th key={column} scope="col">
                  <span className={classes.column}>
                    {map[column] ? `${column} → ${map[column]}` : column}
                  </span>
                  <Select
                    size="xs"
                    clearable
                    allowDeselect
                    aria-label={t`What ${column} is`}
                    placeholder={t`As it is`}
                    value={map[column] ?? null}
                    data={TARGETS.map((target) => ({
                      value: target,
                      label: target,
                      disabled: taken.has(target) && map[column] !== target,
                    }))}
                    onChange={(target) => set(column, target as ColumnTarget | null)}
                  />
                  {onTypes && (
                    <Select
                      size="xs"
                      mt={4}
                      clearable
                      allowDeselect
                      aria-label={t`Type of ${column}`}
                      placeholder={t`Type by its values`}
                      value={types?.[column] ?? null}
                      data={typeLabels.map(([value, label]) => ({ value, label }))}
                      onChange={(type) => setType(column, type as ColumnTypes[string] | null)}
                    />
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the rows of a preview never move
              <tr key={index}>
                {columns.map((column) => (
                  <td key={column}>{cellText(row[column])}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </>
  );
}
