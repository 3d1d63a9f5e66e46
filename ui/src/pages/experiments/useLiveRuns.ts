import { useRefreshExperiments } from "@/api/experiments";
import { useCanHere } from "@/api/projects";
import { useLive } from "@/live/live";

/** Read the runs again when one of those that are shown begins, pauses or ends. */
export function useLiveRuns(rows: readonly { uuid: string; status: string }[]): void {
  const refresh = useRefreshExperiments();
  const can = useCanHere();
  useLive(
    can("tasks:read") ? ["tasks"] : [],
    (event) => {
      if (event.event === "resync") void refresh();
      if (event.event !== "tasks") return;
      const known = new Map(rows.map((row) => [row.uuid, row.status]));
      const moved = event.data.items.some(
        (item) => known.has(item.uuid) && known.get(item.uuid) !== item.status,
      );
      if (moved) void refresh();
    },
    () => void refresh(),
  );
}
