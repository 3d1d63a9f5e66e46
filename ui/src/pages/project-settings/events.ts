import { useQuery } from "@tanstack/react-query";
import { notificationPreferencesOptions } from "@/api/inbox";
import type { Schema } from "@/api/types";

type EventType = Schema<"NotificationType">;

/** Events that concern accounts or the platform, which no webhook of a project gets. */
const NOT_OF_PROJECTS = /^security:|^webhook:disabled$|^worker:cordoned$/;

/** Return the events that a webhook can receive, with their names. */
export function useWebhookEvents(): { value: EventType; label: string }[] {
  const types = useQuery(notificationPreferencesOptions).data?.types ?? [];
  return types
    .filter(({ type }) => !NOT_OF_PROJECTS.test(type))
    .map(({ type, label }) => ({ value: type, label }));
}
