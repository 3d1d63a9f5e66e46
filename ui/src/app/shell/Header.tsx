import { useLingui } from "@lingui/react/macro";
import { ACTIONS_SLOT, CRUMBS_SLOT } from "@/design/PageHeader";
import { PaletteButton } from "../palette/PaletteButton";
import { AccountMenu } from "./AccountMenu";
import { Bell } from "./Bell";
import classes from "./Shell.module.css";

/** The bar at the top: where one is, and what the page can do. Pages fill it by `PageHeader`. */
export function Header({ narrow }: { narrow: boolean }) {
  const { t } = useLingui();
  return (
    <header className={classes.header}>
      <nav id={CRUMBS_SLOT} className={classes.crumbs} aria-label={t`Breadcrumb`} />
      <div id={ACTIONS_SLOT} className={classes.actions} data-of-page />
      <PaletteButton />
      {/* Language and theme are on the page of the account; there is no room for them here. */}
      {narrow && (
        <span className={classes.actions}>
          <Bell />
          <AccountMenu />
        </span>
      )}
    </header>
  );
}
