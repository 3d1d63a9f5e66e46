import { useLingui } from "@lingui/react/macro";
import { ACTIONS_SLOT, CRUMBS_SLOT } from "@/design/PageHeader";
import { PaletteButton } from "../palette/PaletteButton";
import classes from "./Shell.module.css";

/** The bar at the top: where one is, and what the page can do. Pages fill it by `PageHeader`. */
export function Header() {
  const { t } = useLingui();
  return (
    <header className={classes.header}>
      <nav id={CRUMBS_SLOT} className={classes.crumbs} aria-label={t`Breadcrumb`} />
      <div id={ACTIONS_SLOT} className={classes.actions} />
      <PaletteButton />
    </header>
  );
}
