import { useLingui } from "@lingui/react/macro";
import { ACTIONS_SLOT, CRUMBS_SLOT } from "@/design/PageHeader";
import { PreferenceMenus } from "../PreferenceMenus";
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
      <div id={ACTIONS_SLOT} className={classes.actions} />
      <PaletteButton />
      {narrow && (
        <span className={classes.actions}>
          <Bell />
          <PreferenceMenus signedIn />
          <AccountMenu />
        </span>
      )}
    </header>
  );
}
