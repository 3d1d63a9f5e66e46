import { useQueryClient } from "@tanstack/react-query";
import { deploymentOptions, refreshDeployments } from "@/api/deployments";
import type { Deployment } from "@/api/types";
import { useLive } from "@/live/live";

/** Keep the project's deployments up to date while a page shows them. */
export function useLiveDeployments(): void {
  const queries = useQueryClient();
  const refresh = () => void refreshDeployments(queries);
  useLive(
    ["deployments"],
    (event) => {
      if (event.event === "resync") refresh();
      if (event.event !== "deployments") return;
      // The state is shown immediately; the model and the task of the new run are read again.
      for (const { uuid, status, error, restarts } of event.data.items)
        queries.setQueryData(
          deploymentOptions(uuid).queryKey,
          (before: Deployment | undefined) => before && { ...before, status, error, restarts },
        );
      refresh();
    },
    refresh,
  );
}
