import { useThrottledValue } from "@mantine/hooks";
import { useQueries } from "@tanstack/react-query";
import { type RefObject, useMemo } from "react";
import {
  type PlacedRow,
  ROWS_PER_PAGE,
  type RowFilter,
  rowsPageOptions,
  useFoundRows,
} from "@/api/datasets";
import { type GridWindow, useGridWindow } from "./useGridWindow";

export interface Rows {
  /** Which rows are in sight, and how to move to others. */
  sight: GridWindow;
  /** Rows to scroll through: all of the version, or those found so far. */
  count: number;
  /** The rows in sight; undefined for those on their way. */
  rowAt: (index: number) => PlacedRow | undefined;
  filtered: boolean;
  hasMore: boolean;
  loading: boolean;
  more: () => void;
  error: unknown;
  retry: () => void;
}

export const ROW = 36;
export const HEAD = 32;

/** How often rows are asked for while one scrolls, in milliseconds. */
const PAUSE = 80;

/** Rows beyond those in sight that are read ahead. */
const AHEAD = 25;

/** Return the rows of a version around those in sight, or the rows that meet a filter. */
export function useRows(
  dataset: string,
  version: string,
  total: number,
  filter: RowFilter,
  box: RefObject<HTMLElement | null>,
): Rows {
  const filtered = Boolean(filter.search || filter.where || filter.finding);
  const found = useFoundRows(dataset, version, filter, filtered);
  const rows = useMemo(() => found.data?.pages.flatMap((page) => page.rows) ?? [], [found.data]);
  const sight = useGridWindow(box, filtered ? rows.length : total, ROW, HEAD);
  const first = useThrottledValue(sight.first, PAUSE);
  const last = first + sight.last - sight.first;
  const pages = filtered ? [] : pagesOf(first - AHEAD, last + AHEAD, total);
  const loaded = useQueries({
    queries: pages.map((page) => rowsPageOptions(dataset, version, page)),
  });
  if (filtered)
    return {
      sight,
      count: rows.length,
      rowAt: (index) => rows[index],
      filtered,
      hasMore: found.hasNextPage,
      loading: found.isFetching,
      more: () => {
        if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
      },
      error: found.error,
      retry: () => void found.refetch(),
    };
  const byPage = new Map(pages.map((page, index) => [page, loaded[index]?.data]));
  const failed = loaded.find((query) => query.error);
  return {
    sight,
    count: total,
    rowAt: (index) => byPage.get(Math.floor(index / ROWS_PER_PAGE))?.[index % ROWS_PER_PAGE],
    filtered,
    hasMore: false,
    loading: loaded.some((query) => query.isFetching),
    more: () => {},
    error: failed?.error,
    retry: () => void failed?.refetch(),
  };
}

function pagesOf(first: number, last: number, total: number): number[] {
  if (total === 0 || last < first) return [];
  const from = Math.floor(Math.max(0, first) / ROWS_PER_PAGE);
  const to = Math.floor(Math.min(last, total - 1) / ROWS_PER_PAGE);
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
