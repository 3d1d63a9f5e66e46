import { Group } from "@mantine/core";
import type { ReactNode } from "react";
import { codeOf, ProblemError } from "@/api/problem";
import type { FilterField } from "@/design/filter/completion";
import { quotePath } from "@/design/filter/completion";
import { FilterInput } from "@/design/filter/FilterInput";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import type { Column, Sort } from "@/design/table/types";
import { SavedViews } from "./SavedViews";
import type { ListSearch } from "./search";

interface Props<Row> {
  /** The list, so that each has views of its own. */
  list: string;
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
  fields: readonly FilterField[];
  columns: Column<Row>[];
  error: unknown;
  children?: ReactNode;
}

/** The line above a list: its filter, its saved views and its columns. */
export function ListControls<Row>(props: Props<Row>) {
  const { search, onSearch, error } = props;
  return (
    <Group mb="md" gap="sm" align="flex-start">
      <FilterInput
        value={search.filter ?? ""}
        onChange={(filter) => onSearch({ ...search, filter: filter || undefined })}
        fields={props.fields}
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

/** Return the fields of the filter for metrics and settings that the rows have. */
export function figureFields(
  paths: readonly string[],
  values: (path: string) => unknown[],
): FilterField[] {
  return paths.map((path) => {
    const known = values(path);
    const texts = known.filter((value): value is string => typeof value === "string");
    if (texts.length > 0)
      return { path: quotePath(path), kind: "text", values: [...new Set(texts)].slice(0, 20) };
    const flag = known.some((value) => typeof value === "boolean");
    return { path: quotePath(path), kind: flag ? "flag" : "number" };
  });
}
