import { useLingui } from "@lingui/react/macro";
import { useMediaQuery } from "@mantine/hooks";
import { Outlet, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { PageSkeleton } from "@/design/Skeletons";
import { Palette } from "../palette/Palette";
import { ShortcutHelp } from "../ShortcutHelp";
import { usePreferences } from "../theme";
import { BottomBar } from "./BottomBar";
import { ConnectionBanner } from "./ConnectionBanner";
import { Header } from "./Header";
import { Rail } from "./Rail";
import classes from "./Shell.module.css";
import { useUnread } from "./useUnread";

const PreviewHost = lazy(() =>
  import("@/design/preview/PreviewHost").then((module) => ({ default: module.PreviewHost })),
);

const NARROW = "aiplatform.rail";

/** What stands around every page: rail, header, and on narrow screens the bar at the bottom. */
export function Shell() {
  const { t } = useLingui();
  usePreferences();
  useUnread();
  const { project } = useParams({ strict: false });
  const narrow = useMediaQuery("(max-width: 700px)", undefined, {
    getInitialValueInEffect: false,
  });
  const [collapsed, setCollapsed] = useState(() => localStorage.getItem(NARROW) === "1");
  const toggle = () => {
    localStorage.setItem(NARROW, collapsed ? "0" : "1");
    setCollapsed(!collapsed);
  };
  return (
    <div className={classes.shell} data-collapsed={collapsed || undefined}>
      <a className={classes.skip} href="#main">
        {t`Skip to the content`}
      </a>
      {!narrow && <Rail project={project} collapsed={collapsed} onToggle={toggle} />}
      <div className={classes.body}>
        <Header narrow={narrow} />
        <ConnectionBanner />
        {/* It scrolls, so that the keyboard must be able to enter it. */}
        <main id="main" className={classes.main} tabIndex={0}>
          <Suspense fallback={<PageSkeleton />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      {narrow && <BottomBar project={project} />}
      <Palette project={project} />
      <ShortcutHelp />
      <Suspense fallback={null}>
        <PreviewHost />
      </Suspense>
    </div>
  );
}
