/** Return the cells that differ between two forms of a row. */
import type { Row } from "@/api/datasets";

export function changedCells(
  before: Row,
  after: Row,
): Record<string, { before: unknown; after: unknown }> {
  return Object.fromEntries(
    Object.keys({ ...before, ...after })
      .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
      .map((name) => [name, { before: before[name], after: after[name] }]),
  );
}
