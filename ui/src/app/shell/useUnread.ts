import { useQuery, useQueryClient } from "@tanstack/react-query";
import { unreadOptions } from "@/api/notifications";
import { useLive } from "@/live/live";

/** Return the number of unread notifications, kept up to date by the live stream. */
export function useUnread(): number {
  const queries = useQueryClient();
  useLive(
    ["notifications"],
    (event) => {
      if (event.event === "unread")
        queries.setQueryData(unreadOptions.queryKey, { unread: event.data.unread });
      if (event.event === "notification")
        void queries.invalidateQueries({ queryKey: ["get", "/api/v1/notifications"] });
    },
    () => void queries.invalidateQueries({ queryKey: unreadOptions.queryKey }),
  );
  return useQuery(unreadOptions).data?.unread ?? 0;
}
