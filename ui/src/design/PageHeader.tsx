import { Group, Title } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { createPortal } from "react-dom";
import classes from "./PageHeader.module.css";

export const CRUMBS_SLOT = "page-crumbs";
export const ACTIONS_SLOT = "page-actions";

interface Props {
  /** The title of the page. */
  title: string;
  /** The name of the page in the bar at the top and in the browser's tab; the title, if not given. */
  here?: string;
  /** Links to the pages above, each an `AnchorLink`. */
  crumbs?: ReactNode[];
  /** What stands beside the title: a count, a status. */
  aside?: ReactNode;
  /** The one sentence that the visitor came for. */
  lead?: ReactNode;
  /** Buttons; they stand in the bar at the top, where they stay while the page scrolls. */
  actions?: ReactNode;
}

/** The head of a page: breadcrumb and actions in the bar at the top, title and lead below. */
export function PageHeader({ title, here = title, crumbs = [], aside, lead, actions }: Props) {
  useEffect(() => {
    document.title = `${here} · AI Platform`;
  }, [here]);
  return (
    <>
      <Slot id={CRUMBS_SLOT}>
        {crumbs.map((crumb, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: crumbs never change their order
          <span key={index} className={classes.crumb}>
            {crumb}
            <span aria-hidden className={classes.separator}>
              /
            </span>
          </span>
        ))}
        <span className={classes.current} aria-current="page">
          {here}
        </span>
      </Slot>
      {actions && <Slot id={ACTIONS_SLOT}>{actions}</Slot>}
      <header className={classes.header}>
        <Group gap="sm" wrap="wrap" align="baseline">
          <Title order={1} className={classes.title}>
            {title}
          </Title>
          {aside}
        </Group>
        {lead && <div className={classes.lead}>{lead}</div>}
      </header>
    </>
  );
}

function Slot({ id, children }: { id: string; children: ReactNode }) {
  const [place, setPlace] = useState<HTMLElement | null>(null);
  useEffect(() => setPlace(document.getElementById(id)), [id]);
  return place ? createPortal(children, place) : null;
}
