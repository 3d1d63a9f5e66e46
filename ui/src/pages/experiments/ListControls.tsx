import { useLingui } from "@lingui/react/macro";
import { Group } from "@mantine/core";
import type { ReactNode } from "react";
import { codeOf, ProblemError } from "@/api/problem";
import type { ListPage } from "@/api/views";
import { FilterInput } from "@/design/filter/FilterInput";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import type { Column, Sort } from "@/design/table/types";
import { SavedViews } from "@/design/views/SavedViews";
import type { ListSearch } from "./search";

interface Props<Row> {
  /** The list, so that each has views of its own. */
  list: ListPage;
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
  /** The names that a filter can use. */
  fields: readonly string[];
  columns: Column<Row>[];
  error: unknown;
  children?: ReactNode;
}

const OPERATORS = ["has"];

/** The line above a list: its filter, its saved views and its columns. */
export function ListControls<Row>(props: Props<Row>) {
  const { search, onSearch, error } = props;
  const { t } = useLingui();
  return (
    <Group mb="md" gap="sm" align="flex-start">
      <FilterInput
        value={search.filter ?? ""}
        onApply={(filter) => onSearch({ ...search, filter: filter || undefined })}
        fields={props.fields}
        operators={OPERATORS}
        placeholder={t`Filter, such as metrics.loss < 1.5`}
        width="min(480px, 100%)"
        error={filterFault(error)}
      />
      {props.children}
      <SavedViews list={props.list} search={search} onSearch={onSearch} />
      <ColumnMenu
        columns={props.columns}
        shown={search.columns}
        onChange={(columns) => onSearch({ ...search, columns })}
      />
    </Group>
  );
}

/** Return what the API says against the filter, or null if something else is wrong. */
export function filterFault(error: unknown): string | null {
  return error instanceof ProblemError && codeOf(error) === "request.invalid_filter"
    ? error.problem.detail
    : null;
}

/** Read the order of a list: `-metrics.loss` is the largest first. */
export function readOrder(sort: string | undefined): Sort | null {
  if (!sort) return { column: "created", descending: true };
  const descending = sort.startsWith("-");
  return { column: descending ? sort.slice(1) : sort, descending };
}

export function writeOrder({ column, descending }: Sort): string {
  return `${descending ? "-" : ""}${column}`;
}
