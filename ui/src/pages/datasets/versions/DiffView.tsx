import { useLingui } from "@lingui/react/macro";
import { Group, SegmentedControl, Select, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type DiffFilter, type DiffKind, useDiff, versionOptions } from "@/api/datasets";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { formatNumber } from "@/design/format";
import { TableSkeleton } from "@/design/Skeletons";
import { useOnVisible } from "@/design/table/useOnVisible";
import { Num } from "@/design/values";
import { DiffRow } from "./DiffRow";
import classes from "./Versions.module.css";

interface Props {
  dataset: Dataset;
  filter: DiffFilter;
  onFilter: (filter: Partial<DiffFilter>) => void;
}

/** What differs between two versions: rows, cells and columns, side by side. */
export function DiffView({ dataset, filter, onFilter }: Props) {
  const { t, i18n } = useLingui();
  const diff = useDiff(dataset.uuid, filter);
  const version = useQuery(versionOptions(dataset.uuid, filter.after)).data;
  const sentinel = useOnVisible(() => {
    if (diff.hasNextPage && !diff.isFetching) void diff.fetchNextPage();
  });
  const summary = diff.data?.pages[0]?.summary;
  const items = diff.data?.pages.flatMap((page) => page.items);
  const keys = version?.columns.filter(({ type }) => type !== "messages" && type !== "json") ?? [];
  const count = (value: number | undefined) =>
    value === undefined ? "" : formatNumber(value, i18n.locale);
  return (
    <div className={classes.diff}>
      <Group gap="sm" mb="sm">
        <Select
          size="xs"
          w={240}
          clearable
          allowDeselect
          aria-label={t`Pair rows by`}
          placeholder={t`Pair rows by their whole content`}
          value={filter.key ?? null}
          data={keys.map(({ name }) => ({ value: name, label: t`Pair rows by ${name}` }))}
          onChange={(key) => onFilter({ key: key ?? undefined, kind: undefined })}
        />
        <SegmentedControl
          size="xs"
          aria-label={t`Kind of difference`}
          value={filter.kind ?? "all"}
          onChange={(kind) => onFilter({ kind: kind === "all" ? undefined : (kind as DiffKind) })}
          data={[
            { value: "all", label: t`All` },
            { value: "added", label: `${t`Added`} ${count(summary?.added)}` },
            { value: "removed", label: `${t`Removed`} ${count(summary?.removed)}` },
            {
              value: "changed",
              label: `${t({ message: "Changed", context: "difference" })} ${count(summary?.changed)}`,
            },
          ]}
        />
      </Group>
      {!filter.key && (
        <Text size="xs" c="dimmed" mb="sm">
          {t`Without a key, a row with one other cell counts as removed and added. Choose the column that identifies rows to see changes cell by cell.`}
        </Text>
      )}
      <ErrorNotice error={diff.error} onRetry={() => void diff.refetch()} />
      {!items && !diff.error && <TableSkeleton />}
      {summary && (
        <Figures
          items={[
            {
              label: t`Rows`,
              value: `${count(summary.rows_before)} → ${count(summary.rows_after)}`,
            },
            { label: t`Unchanged`, value: <Num value={summary.unchanged} /> },
            ...Object.entries(summary.cells)
              .filter(([, cells]) => cells > 0)
              .slice(0, 4)
              .map(([column, cells]) => ({
                label: t`Changed cells of ${column}`,
                value: <Num value={cells} />,
              })),
          ]}
        />
      )}
      {summary && <ColumnChanges columns={summary.columns} />}
      {items?.length === 0 && (
        <Text c="dimmed">
          {t`No row differs in this way between ${filter.before} and ${filter.after}.`}
        </Text>
      )}
      {items?.map((entry) => (
        <DiffRow
          key={`${entry.kind}-${entry.before}-${entry.after}`}
          entry={entry}
          shape={version?.shape ?? null}
        />
      ))}
      {diff.hasNextPage && (
        <div ref={sentinel}>
          <TableSkeleton rows={3} />
        </div>
      )}
    </div>
  );
}

type Columns = NonNullable<ReturnType<typeof useDiff>["data"]>["pages"][0]["summary"]["columns"];

function ColumnChanges({ columns }: { columns: Columns }) {
  const { t } = useLingui();
  const lines = [
    ...columns.added.map(({ name, type }) => t`Column ${name} (${type}) was added.`),
    ...columns.removed.map(({ name, type }) => t`Column ${name} (${type}) was removed.`),
    ...columns.changed.map(
      ({ name, before, after }) => t`Column ${name} was ${before} and is ${after}.`,
    ),
  ];
  if (lines.length === 0) return null;
  return (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}
