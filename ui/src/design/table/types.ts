import type { ReactNode } from "react";

export interface Column<Row> {
  id: string;
  /** A short noun, already translated. */
  header: string;
  cell: (row: Row) => ReactNode;
  /** Numbers stand on the right, so that their digits line up. */
  align?: "right";
  width?: number | string;
  sortable?: boolean;
  /** The name of the row: always shown, and the first line on narrow screens. */
  primary?: boolean;
  /** Shown only when chosen. */
  optional?: boolean;
}

export interface Sort {
  column: string;
  descending: boolean;
}
