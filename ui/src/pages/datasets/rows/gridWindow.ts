/** Which rows of a very long grid are in sight. Pure functions. */

/** Browsers can't lay out elements of more than some 30 million pixels. */
export const MOST_PIXELS = 8_000_000;

export interface Scale {
  /** Height of what the scroll bar measures. */
  content: number;
  /** Pixels of rows for each pixel of the scroll bar; 1 unless the grid is too long. */
  ratio: number;
  /** The largest position of the rows. */
  most: number;
}

/** Return how the scroll bar maps to rows. */
export function scaleOf(count: number, row: number, visible: number): Scale {
  const total = count * row;
  const content = Math.min(total, MOST_PIXELS);
  const most = Math.max(0, total - visible);
  const scrollable = Math.max(1, content - visible);
  return { content, most, ratio: total > MOST_PIXELS ? most / scrollable : 1 };
}

/** Return the first and the last row in sight, with some beyond the edges. */
export function rowsInSight(
  top: number,
  visible: number,
  row: number,
  count: number,
  extra = 6,
): { first: number; last: number } {
  const first = Math.max(0, Math.floor(top / row) - extra);
  const last = Math.min(count - 1, Math.ceil((top + visible) / row) + extra);
  return { first, last };
}

/** Return the position that brings a row into sight with the least movement. */
export function revealing(index: number, top: number, visible: number, row: number): number {
  const start = index * row;
  if (start < top) return start;
  return start + row > top + visible ? start + row - visible : top;
}
