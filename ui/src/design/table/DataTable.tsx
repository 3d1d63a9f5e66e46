import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Checkbox, Group, UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconEye } from "@tabler/icons-react";
import {
  type ColumnDef,
  flexRender,
  getCoreRowModel,
  type Row as TableRow,
  useReactTable,
} from "@tanstack/react-table";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useMemo, useRef, useState } from "react";
import { TableSkeleton } from "../Skeletons";
import classes from "./DataTable.module.css";
import type { Column, Sort } from "./types";
import { useOnVisible } from "./useOnVisible";
import { useTableKeys } from "./useTableKeys";

interface Props<Row> {
  /** What the table lists, for those who don't see it. */
  label: string;
  columns: Column<Row>[];
  rows: Row[] | undefined;
  rowKey: (row: Row) => string;
  /** Names of the columns to show; by default those that are not `optional`. */
  shown?: readonly string[];
  sort?: Sort | null;
  onSort?: (sort: Sort) => void;
  /** Opens the page of a row: Enter, and a click where there is no preview. */
  onOpen?: (row: Row) => void;
  /** Shows the essentials of a row beside the table; a second click opens its page. */
  onPreview?: (row: Row) => void;
  previewed?: string | null;
  /** Shows the essentials of a row in a drawer: Space, and a click on the eye of the row. */
  onPeek?: (row: Row) => void;
  /** What can be done with the selected rows; without it, rows can't be selected. */
  bulk?: (rows: Row[], clear: () => void) => ReactNode;
  empty?: ReactNode;
  hasMore?: boolean;
  loadingMore?: boolean;
  onMore?: () => void;
}

const ROW = 36;
const VIRTUAL_FROM = 150;

/** A dense list: columns, order, keyboard, selection, and pages that load while one scrolls. */
export function DataTable<Row>(props: Props<Row>) {
  const { columns, rows, rowKey, shown, sort, onSort, bulk } = props;
  const { t } = useLingui();
  const body = useRef<HTMLTableSectionElement>(null);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const visible = useMemo(() => visibleColumns(columns, shown), [columns, shown]);
  const definitions = useMemo<ColumnDef<Row>[]>(
    () =>
      visible.map((column) => ({
        id: column.id,
        header: () => column.header,
        cell: ({ row }) => column.cell(row.original),
      })),
    [visible],
  );
  const table = useReactTable({
    data: rows ?? EMPTY,
    columns: definitions as ColumnDef<unknown>[],
    getRowId: (row) => rowKey(row as Row),
    getCoreRowModel: getCoreRowModel(),
    manualSorting: true,
  });
  const model = table.getRowModel().rows as TableRow<Row>[];
  const toggle = (key: string) =>
    setSelected((before) => {
      const next = new Set(before);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  const scroll = useRowWindow(model.length, body);
  const { active, setActive } = useTableKeys({
    count: model.length,
    onOpen: (index) => withRow(model, index, (row) => (props.onOpen ?? props.onPreview)?.(row)),
    onPeek: props.onPeek && ((index) => withRow(model, index, (row) => props.onPeek?.(row))),
    onSelect: (index) => bulk && withRow(model, index, (row) => toggle(rowKey(row))),
    reveal: scroll.reveal,
  });
  const sentinel = useOnVisible(() => {
    if (props.hasMore && !props.loadingMore) props.onMore?.();
  });
  if (rows === undefined) return <TableSkeleton />;
  if (rows.length === 0 && props.empty) return <>{props.empty}</>;

  const chosen = model.filter((row) => selected.has(row.id)).map((row) => row.original);
  const clear = () => setSelected(new Set());
  const all = chosen.length > 0 && chosen.length === model.length;
  return (
    <div className={classes.frame}>
      {bulk && chosen.length > 0 && (
        <Group className={classes.bulk} gap="sm" role="toolbar" aria-label={t`Selected rows`}>
          <span>{t`${chosen.length} selected`}</span>
          {bulk(chosen, clear)}
          <Button variant="subtle" color="gray" onClick={clear}>{t`Clear`}</Button>
        </Group>
      )}
      <table className={classes.table} aria-label={props.label} aria-rowcount={model.length}>
        <thead>
          <tr>
            {bulk && (
              <th className={classes.check}>
                <Checkbox
                  size="xs"
                  aria-label={t`Select all`}
                  checked={all}
                  indeterminate={!all && chosen.length > 0}
                  onChange={() =>
                    all ? clear() : setSelected(new Set(model.map((row) => row.id)))
                  }
                />
              </th>
            )}
            {visible.map((column) => (
              <HeaderCell key={column.id} column={column} sort={sort} onSort={onSort} />
            ))}
            {props.onPeek && (
              <th scope="col" className={classes.peek}>
                <span className="visually-hidden">{t`Preview`}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody ref={body}>
          <Spacer height={scroll.before} />
          {scroll.indexes.map((index) => {
            const row = model[index];
            if (!row) return null;
            return (
              <tr
                key={row.id}
                data-index={index}
                data-active={index === active || undefined}
                data-selected={selected.has(row.id) || props.previewed === row.id || undefined}
                tabIndex={-1}
                onClick={(event) => {
                  if (isControl(event.target)) return;
                  setActive(index);
                  const open = props.previewed === row.id ? props.onOpen : props.onPreview;
                  (open ?? props.onOpen)?.(row.original);
                }}
              >
                {bulk && (
                  <td className={classes.check}>
                    <Checkbox
                      size="xs"
                      aria-label={t`Select row`}
                      checked={selected.has(row.id)}
                      onChange={() => toggle(row.id)}
                    />
                  </td>
                )}
                {row.getVisibleCells().map((cell, position) => (
                  <td
                    key={cell.id}
                    data-align={visible[position]?.align}
                    data-primary={visible[position]?.primary || undefined}
                    data-label={visible[position]?.header}
                  >
                    {flexRender(cell.column.columnDef.cell, cell.getContext())}
                  </td>
                ))}
                {props.onPeek && (
                  <td className={classes.peek}>
                    <ActionIcon
                      size="sm"
                      aria-label={t`Preview`}
                      onClick={() => props.onPeek?.(row.original)}
                    >
                      <IconEye size={15} />
                    </ActionIcon>
                  </td>
                )}
              </tr>
            );
          })}
          <Spacer height={scroll.after} />
        </tbody>
      </table>
      {props.hasMore && (
        <div ref={sentinel} className={classes.more}>
          <Button variant="subtle" loading={props.loadingMore} onClick={props.onMore}>
            {t`Load more`}
          </Button>
        </div>
      )}
    </div>
  );
}

const EMPTY: never[] = [];

function visibleColumns<Row>(
  columns: Column<Row>[],
  shown: readonly string[] | undefined,
): Column<Row>[] {
  if (!shown) return columns.filter((column) => !column.optional);
  return columns.filter((column) => column.primary || shown.includes(column.id));
}

function withRow<Row>(model: TableRow<Row>[], index: number, use: (row: Row) => void): void {
  const row = model[index];
  if (row) use(row.original);
}

/** Clicks on links and buttons in a row mean them, not the row. */
function isControl(target: EventTarget): boolean {
  return target instanceof Element && target.closest("a, button, input, label") !== null;
}

function Spacer({ height }: { height: number }) {
  return height > 0 ? <tr aria-hidden style={{ height }} /> : null;
}

function HeaderCell<Row>(props: {
  column: Column<Row>;
  sort?: Sort | null;
  onSort?: (sort: Sort) => void;
}) {
  const { column, sort, onSort } = props;
  const sorted = sort?.column === column.id ? sort : null;
  const style = column.width ? { width: column.width } : undefined;
  if (!column.sortable || !onSort)
    return (
      <th scope="col" data-align={column.align} style={style}>
        {column.header}
      </th>
    );
  return (
    <th
      scope="col"
      data-align={column.align}
      style={style}
      aria-sort={sorted ? (sorted.descending ? "descending" : "ascending") : "none"}
    >
      <UnstyledButton
        className={classes.sort}
        onClick={() =>
          onSort({ column: column.id, descending: sorted ? !sorted.descending : true })
        }
      >
        {column.header}
        {sorted && (sorted.descending ? <IconArrowDown size={13} /> : <IconArrowUp size={13} />)}
      </UnstyledButton>
    </th>
  );
}

interface RowWindow {
  indexes: number[];
  before: number;
  after: number;
  reveal: (index: number) => void;
}

/** Return the rows to draw: all of a short list, those in sight of a long one. */
function useRowWindow(
  count: number,
  body: React.RefObject<HTMLTableSectionElement | null>,
): RowWindow {
  const virtual = count >= VIRTUAL_FROM;
  const virtualizer = useVirtualizer({
    count,
    enabled: virtual,
    getScrollElement: () => document.getElementById("main"),
    estimateSize: () => ROW,
    overscan: 20,
    scrollMargin: body.current?.offsetTop ?? 0,
  });
  const reveal = (index: number) => {
    const row = body.current?.querySelector<HTMLElement>(`tr[data-index="${index}"]`);
    if (row) {
      row.scrollIntoView({ block: "nearest" });
      row.focus({ preventScroll: true });
    } else if (virtual) virtualizer.scrollToIndex(index);
  };
  if (!virtual)
    return {
      indexes: Array.from({ length: count }, (_, index) => index),
      before: 0,
      after: 0,
      reveal,
    };
  const items = virtualizer.getVirtualItems();
  const margin = virtualizer.options.scrollMargin;
  return {
    indexes: items.map((item) => item.index),
    before: (items[0]?.start ?? margin) - margin,
    after: virtualizer.getTotalSize() - ((items.at(-1)?.end ?? margin) - margin),
    reveal,
  };
}
