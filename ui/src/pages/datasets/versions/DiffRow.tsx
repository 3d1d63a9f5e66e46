import { useLingui } from "@lingui/react/macro";
import { Fragment } from "react";
import type { Schema } from "@/api/types";
import { fullText } from "../rows/cells";
import { Folded } from "../rows/Folded";
import { Pieces, RowContent } from "../rows/RowContent";
import { wordDiff } from "../rows/wordDiff";
import classes from "./Versions.module.css";

export type DiffEntry = Schema<"DiffPage">["items"][number];

/** One row that differs: all of it if it was added or removed, else the cells side by side. */
export function DiffRow({ entry, shape }: { entry: DiffEntry; shape: string | null }) {
  const { t, i18n } = useLingui();
  const { kind, before, after, row, cells } = entry;
  const titles = {
    added: t`Added`,
    removed: t`Removed`,
    changed: t({ message: "Changed", context: "difference" }),
  };
  const place = (value: number | null) => (value === null ? "–" : i18n.number(value));
  const where =
    kind === "changed" && before !== after
      ? t`Row ${place(before)}, now ${place(after)}`
      : t`Row ${place(after ?? before)}`;
  return (
    <section className={classes.change} aria-label={`${titles[kind]} ${where}`}>
      <div className={classes.changeHead} data-kind={kind}>
        <strong>{titles[kind]}</strong>
        <span className="secondary">{where}</span>
      </div>
      {row && (
        <div className={classes.oneSide} data-kind={kind}>
          <RowContent row={row} shape={shape} marks={[]} />
        </div>
      )}
      {cells && <CellChanges cells={cells} />}
    </section>
  );
}

/** Cells before and after, with the words that differ. */
export function CellChanges({
  cells,
}: {
  cells: Readonly<Record<string, { before: unknown; after: unknown }>>;
}) {
  return (
    <div className={classes.cells}>
      {Object.entries(cells).map(([name, cell]) => {
        const pieces = wordDiff(fullText(cell.before), fullText(cell.after));
        return (
          <Fragment key={name}>
            <span className={classes.cellName}>{name}</span>
            <div className={classes.cell} data-side="before">
              <Folded>
                <Pieces pieces={pieces.before} tone="bad" />
              </Folded>
            </div>
            <div className={classes.cell} data-side="after">
              <Folded>
                <Pieces pieces={pieces.after} tone="good" />
              </Folded>
            </div>
          </Fragment>
        );
      })}
    </div>
  );
}
