import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";

export const unreadOptions = $api.queryOptions("get", "/api/v1/notifications/unread", undefined, {
  staleTime: 60_000,
});

export const notificationsOptions = (limit = 10) =>
  $api.queryOptions("get", "/api/v1/notifications", { params: { query: { limit } } });

/** Mark all notifications as read; the bell changes immediately. */
export function useMarkAllRead() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.POST("/api/v1/notifications/read", {}),
    onMutate: () => queries.setQueryData(unreadOptions.queryKey, { unread: 0 }),
    onSettled: () =>
      queries.invalidateQueries({
        predicate: ({ queryKey }) => String(queryKey[1]).startsWith("/api/v1/notifications"),
      }),
  });
}
