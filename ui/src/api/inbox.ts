import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import { PAGED } from "./pages";
import type { Answer, Schema } from "./types";

const NOTIFICATIONS = "/api/v1/notifications";
const PREFERENCES = "/api/v1/notifications/preferences";
const INVITATIONS = "/api/v1/users/me/project-invitations";

export interface InboxFilter {
  unread?: boolean;
  type?: Schema<"NotificationType">;
}

export const useInbox = (filter: InboxFilter) =>
  $api.useInfiniteQuery(
    "get",
    NOTIFICATIONS,
    { params: { query: { limit: 50, ...filter } } },
    PAGED,
  );

/** Return a function that reads everything of the inbox again, the number of unread ones too. */
function useRefreshInbox(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) =>
        queryKey[1] === NOTIFICATIONS || queryKey[1] === "/api/v1/notifications/unread",
    });
}

export function useMarkRead() {
  const refresh = useRefreshInbox();
  return useMutation({
    mutationFn: (notification: string) =>
      api.POST("/api/v1/notifications/{notification}/read", { params: { path: { notification } } }),
    onSettled: refresh,
  });
}

export function useDeleteNotification() {
  const refresh = useRefreshInbox();
  return useMutation({
    mutationFn: (notification: string) =>
      api.DELETE("/api/v1/notifications/{notification}", { params: { path: { notification } } }),
    onSettled: refresh,
  });
}

export function useDeleteRead() {
  const refresh = useRefreshInbox();
  return useMutation({
    mutationFn: () => api.DELETE("/api/v1/notifications/read", {}),
    onSettled: refresh,
  });
}

export type NotificationPreferences = Answer<typeof PREFERENCES>;

export const notificationPreferencesOptions = $api.queryOptions("get", PREFERENCES, undefined, {
  staleTime: 5 * 60_000,
});

/** Change preferences. They change on the page immediately, and back on refusal. */
export function useSetNotificationPreferences() {
  const queries = useQueryClient();
  const key = notificationPreferencesOptions.queryKey;
  return useMutation({
    mutationFn: (body: Schema<"PreferencesIn">) =>
      api.PATCH(PREFERENCES, { params: { header: ifMatch() }, body }),
    onMutate: (body) => {
      const before = queries.getQueryData<NotificationPreferences>(key);
      if (before) queries.setQueryData(key, withChanges(before, body));
      return before;
    },
    onError: (_error, _body, before) => queries.setQueryData(key, before),
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
}

function withChanges(
  before: NotificationPreferences,
  { email, language, types = {} }: Schema<"PreferencesIn">,
): NotificationPreferences {
  return {
    ...before,
    email: email ?? before.email,
    language: language ?? before.language,
    types: before.types.map((entry) => {
      const change = types[entry.type];
      return {
        ...entry,
        inbox: change?.inbox ?? entry.inbox,
        email: change?.email ?? entry.email,
      };
    }),
  };
}

export const myInvitationsOptions = $api.queryOptions("get", INVITATIONS, {
  params: { query: { limit: 100 } },
});

/** Join a project that one was invited to, or decline. */
export function useAnswerInvitation() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ invitation, accept }: { invitation: string; accept: boolean }) => {
      const params = { path: { invitation } };
      if (accept)
        await api.POST("/api/v1/users/me/project-invitations/{invitation}/accept", { params });
      else await api.POST("/api/v1/users/me/project-invitations/{invitation}/decline", { params });
    },
    onSettled: () =>
      queries.invalidateQueries({
        predicate: ({ queryKey }) =>
          queryKey[1] === INVITATIONS || String(queryKey[1]).startsWith("/api/v1/projects"),
      }),
  });
}
