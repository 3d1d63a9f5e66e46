import { Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { PreferenceMenus } from "@/app/PreferenceMenus";
import classes from "./EntryFrame.module.css";

/** The frame of the pages that people see before they are signed in. */
export function EntryFrame({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · AI Platform`;
  }, [title]);
  return (
    <div className={classes.page}>
      <header className={classes.bar}>
        <span className={classes.brand}>AI Platform</span>
        <div>
          <PreferenceMenus signedIn={false} />
        </div>
      </header>
      <main className={classes.box}>
        <Title order={1} mb="md">
          {title}
        </Title>
        {children}
      </main>
    </div>
  );
}
