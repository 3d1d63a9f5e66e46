import { useLingui } from "@lingui/react/macro";
import { Group, NumberInput, SegmentedControl, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import type { GridColumn } from "@/api/datasets";
import type { Report } from "@/api/reports";
import { FilterInput } from "@/design/filter/FilterInput";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import type { DatasetSearch, View } from "../search";
import { useFindingTitle } from "./useFindingTitle";

interface Props {
  columns: readonly GridColumn[];
  shown: readonly string[];
  total: number;
  report: Report | undefined;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

const PAUSE = 300;
const OPERATORS = ["not contains", "min_length", "max_length"];

/** Find rows: by a text, a filter, a finding of the report, or their number. */
export function RowFilterBar({ columns, shown, total, report, search, onSearch }: Props) {
  const { t, i18n } = useLingui();
  const title = useFindingTitle(report);
  const [text, setText] = useState(search.q ?? "");
  useEffect(() => setText(search.q ?? ""), [search.q]);
  const apply = useDebouncedCallback(
    (q: string) => onSearch({ ...search, q: q || undefined, row: undefined }),
    PAUSE,
  );
  const codes = [...new Set(report?.findings.map((finding) => finding.code) ?? [])];
  if (search.finding && !codes.includes(search.finding)) codes.push(search.finding);
  return (
    <Group mb="sm" gap="sm" align="flex-start">
      <TextInput
        data-filter
        size="xs"
        w={200}
        leftSection={<IconSearch size={14} />}
        placeholder={t`Text in any column`}
        aria-label={t`Text in any column`}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          apply(event.currentTarget.value.trim());
        }}
      />
      <FilterInput
        value={search.where ?? ""}
        onApply={(where) => onSearch({ ...search, where: where || undefined, row: undefined })}
        fields={columns.map(({ name }) => name)}
        operators={OPERATORS}
        placeholder={filterExample(columns)}
      />
      {codes.length > 0 && (
        <Select
          size="xs"
          w={220}
          clearable
          allowDeselect
          placeholder={t`Any finding`}
          aria-label={t`Finding`}
          value={search.finding ?? null}
          data={codes.map((code) => ({ value: code, label: title(code) }))}
          onChange={(finding) =>
            onSearch({ ...search, finding: finding ?? undefined, row: undefined })
          }
        />
      )}
      <NumberInput
        size="xs"
        w={150}
        min={0}
        max={Math.max(0, total - 1)}
        allowDecimal={false}
        hideControls
        thousandSeparator
        placeholder={t`Go to row`}
        aria-label={t`Go to row`}
        key={search.row ?? "none"}
        defaultValue={search.row}
        title={t`Rows are counted from 0 to ${i18n.number(Math.max(0, total - 1))}`}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          const place = Number(event.currentTarget.value.replace(/\D/g, ""));
          if (Number.isInteger(place) && place < total) onSearch({ ...search, row: place });
        }}
      />
      <Group ml="auto" gap="sm">
        <SegmentedControl
          size="xs"
          aria-label={t`View`}
          value={search.view ?? "grid"}
          onChange={(view) =>
            onSearch({ ...search, view: view === "grid" ? undefined : (view as View) })
          }
          data={[
            { value: "grid", label: t`Grid` },
            { value: "read", label: t`Read` },
          ]}
        />
        <ColumnMenu
          columns={columns.map(({ name }) => ({ id: name, header: name, cell: () => null }))}
          shown={[...shown]}
          onChange={(chosen) => onSearch({ ...search, columns: chosen })}
        />
      </Group>
    </Group>
  );
}

/** Return a filter that would work for these columns, to show how one is written. */
function filterExample(columns: readonly GridColumn[]): string {
  const number = columns.find(({ type }) => type === "number" || type === "integer");
  if (number) return `${number.name} >= 0.5`;
  const text = columns.find(({ type }) => type === "text");
  return text ? `${text.name} contains "…"` : `${columns[0]?.name ?? "text"} present`;
}
