import { useLingui } from "@lingui/react/macro";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { isOnline, onConnectionChange } from "@/api/connection";
import classes from "./Shell.module.css";

/** A short loss heals by itself before anybody need hear of it. */
const PATIENCE = 1_500;

/** Say that the platform does not answer; when it is back, read again what is on the screen. */
export function ConnectionBanner() {
  const { t } = useLingui();
  const queries = useQueryClient();
  const online = useSyncExternalStore(onConnectionChange, isOnline);
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (online) {
      setShown((before) => {
        if (before) void queries.invalidateQueries();
        return false;
      });
      return;
    }
    const timer = setTimeout(() => setShown(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [online, queries]);
  return (
    <div role="status">
      {shown && (
        <div className={classes.banner}>
          <IconPlugConnectedX size={16} aria-hidden />
          {t`The platform does not answer. Connecting again; what you have typed is kept.`}
        </div>
      )}
    </div>
  );
}
