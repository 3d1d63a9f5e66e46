import type { ReactNode } from "react";
import classes from "./Figures.module.css";

interface Figure {
  label: string;
  value: ReactNode;
}

/** A strip of three to six figures below the head of a page. */
export function Figures({ items }: { items: readonly Figure[] }) {
  return (
    <dl className={classes.figures}>
      {items.map(({ label, value }) => (
        <div key={label} className={classes.figure}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
