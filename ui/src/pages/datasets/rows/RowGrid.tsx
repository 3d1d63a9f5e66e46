import { useLingui } from "@lingui/react/macro";
import { Skeleton } from "@mantine/core";
import { type CSSProperties, type ReactNode, useEffect, useRef } from "react";
import type { GridColumn, RowFilter } from "@/api/datasets";
import { ErrorNotice } from "@/design/ErrorNotice";
import { isTyping } from "@/design/keys";
import { TableSkeleton } from "@/design/Skeletons";
import { cellText } from "./cells";
import classes from "./RowGrid.module.css";
import { ROW, useRows } from "./useRows";

interface Props {
  dataset: string;
  version: string;
  total: number;
  columns: readonly GridColumn[];
  filter: RowFilter;
  /** The place of the row that is open beside the grid. */
  open: number | undefined;
  onOpen: (place: number | undefined) => void;
  /** What is shown if no row meets the filter. */
  empty: ReactNode;
}

const NEAR_END = 30;
const WIDTHS: Record<string, number> = { integer: 110, number: 120, boolean: 90, date: 120 };
const TEXT = 340;
const PLACE = 96;

/** All rows of a version, however many: only those in sight are read and drawn. */
export function RowGrid(props: Props) {
  const { dataset, version, total, columns, filter, open, onOpen } = props;
  const { t, i18n } = useLingui();
  const box = useRef<HTMLDivElement>(null);
  const rows = useRows(dataset, version, total, filter, box);
  const { sight, count, hasMore, more, rowAt } = rows;
  useEffect(() => {
    if (hasMore && sight.last > count - NEAR_END) more();
  });
  const active = rows.filtered ? indexOf(open, count, rowAt) : (open ?? -1);
  // A row that the address names is shown where it is, also after a filter has been cleared.
  const { reveal } = sight;
  const target = active < count ? active : -1;
  useEffect(() => {
    if (target >= 0) reveal(target);
  }, [target, reveal]);
  useGridKeys(active, count, onOpen, rowAt, rows.filtered, sight.reveal);

  const widths = columns.map(({ type }) => `${WIDTHS[type] ?? TEXT}px`);
  const template = `${PLACE}px ${widths.slice(0, -1).join(" ")} minmax(${widths.at(-1) ?? "0px"}, 1fr)`;
  const style = { "--columns": template, "--content": `${sight.content}px` } as CSSProperties;
  const nothing = count === 0 && !rows.loading && !hasMore;
  return (
    <section
      ref={box}
      className={classes.box}
      style={style}
      tabIndex={0}
      aria-label={t({ message: "Rows", context: "data" })}
      aria-busy={rows.loading}
    >
      {Boolean(rows.error) && (
        <div className={classes.notice}>
          <ErrorNotice error={rows.error} onRetry={rows.retry} />
        </div>
      )}
      {nothing && !rows.error && <div className={classes.notice}>{props.empty}</div>}
      {count === 0 && rows.loading && (
        <div className={classes.notice}>
          <TableSkeleton />
        </div>
      )}
      <div className={classes.sizer} hidden={count === 0}>
        <table
          className={classes.view}
          aria-label={t({ message: "Rows", context: "data" })}
          aria-rowcount={hasMore ? -1 : count + 1}
          aria-colcount={columns.length + 1}
        >
          <thead className={classes.head}>
            <tr className={classes.line} aria-rowindex={1}>
              <th scope="col" data-align="right">{t`Row`}</th>
              {columns.map(({ name, type }) => (
                <th key={name} scope="col" title={`${name} · ${type}`} data-align={align(type)}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody className={classes.body}>
            {indexes(sight.first, Math.min(sight.last, count - 1)).map((index) => {
              const placed = rowAt(index);
              const place = placed?.place ?? index;
              return (
                <tr
                  key={index}
                  className={classes.line}
                  aria-rowindex={index + 2}
                  aria-current={index === active || undefined}
                  data-place={place}
                  style={{ transform: `translateY(${index * ROW - sight.top}px)` }}
                  onClick={() => onOpen(index === active ? undefined : place)}
                >
                  <th scope="row" data-align="right">
                    {i18n.number(place)}
                  </th>
                  {columns.map(({ name, type }) => (
                    <td key={name} data-align={align(type)}>
                      {placed ? cellText(placed.row[name]) : <Skeleton height={10} width="60%" />}
                    </td>
                  ))}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function align(type: string): "right" | undefined {
  return type === "integer" || type === "number" ? "right" : undefined;
}

function indexes(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}

type RowAt = ReturnType<typeof useRows>["rowAt"];

/** Return where a row is among those found; -1 if it is not. */
function indexOf(place: number | undefined, count: number, rowAt: RowAt): number {
  if (place === undefined) return -1;
  for (let index = 0; index < count; index += 1) if (rowAt(index)?.place === place) return index;
  return -1;
}

/** Let `j`, `k` and the arrows move through the rows, and Escape close the open one. */
function useGridKeys(
  active: number,
  count: number,
  onOpen: (place: number | undefined) => void,
  rowAt: RowAt,
  filtered: boolean,
  reveal: (index: number) => void,
): void {
  const latest = useRef({ active, count, onOpen, rowAt, filtered, reveal });
  latest.current = { active, count, onOpen, rowAt, filtered, reveal };
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const now = latest.current;
      const steps: Record<string, number> = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
      const step = steps[event.key];
      if (event.key === "Escape" && now.active >= 0) now.onOpen(undefined);
      else if (step && now.count > 0 && (now.active >= 0 || event.key.length === 1)) {
        const next = Math.min(Math.max(now.active + step, 0), now.count - 1);
        const place = now.filtered ? now.rowAt(next)?.place : next;
        if (place !== undefined) now.onOpen(place);
        now.reveal(next);
      } else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
}
