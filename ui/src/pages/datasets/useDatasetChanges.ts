import { useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { refreshDatasets } from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import { useLive } from "@/live/live";

const ENDED = ["completed", "failed", "cancelled"];

/** Read datasets again when a task has ended: reports, fixes and imports change them. */
export function useDatasetChanges(): void {
  const can = useCanHere();
  const queries = useQueryClient();
  const seen = useRef(new Map<string, string>());
  const refresh = () => void refreshDatasets(queries);
  useLive(
    can("tasks:read") ? ["tasks"] : [],
    (event) => {
      if (event.event === "resync") refresh();
      if (event.event !== "tasks") return;
      const ended = event.data.items.filter(
        ({ uuid, status }) => ENDED.includes(status) && seen.current.get(uuid) !== status,
      );
      for (const { uuid, status } of event.data.items) seen.current.set(uuid, status);
      if (ended.length > 0) refresh();
    },
    refresh,
  );
}
