import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch, versioned } from "./etags";
import { PAGED } from "./pages";
import type { Schema } from "./types";

const WEBHOOKS = "/api/v1/projects/{project}/webhooks";
const WEBHOOK = "/api/v1/webhooks/{webhook}";
const DELIVERIES = "/api/v1/webhooks/{webhook}/deliveries";
const DELIVERY = "/api/v1/webhooks/{webhook}/deliveries/{delivery}";

export type Webhook = Schema<"WebhookOut">;
export type Delivery = Schema<"DeliveryOut">;

export const webhooksOptions = (project: string) =>
  $api.queryOptions("get", WEBHOOKS, { params: { path: { project }, query: { limit: 200 } } });

/** One webhook with the version that a change of it must name. */
export const webhookOptions = (webhook: string) =>
  queryOptions({
    queryKey: ["get", WEBHOOK, webhook] as const,
    queryFn: async () => {
      const { data, response } = await api.GET(WEBHOOK, { params: { path: { webhook } } });
      return versioned(data, response);
    },
    staleTime: 0,
    // What is being edited must not change under the hands.
    refetchOnWindowFocus: false,
  });

/** The deliveries of a webhook. They are read again while some wait. */
export const useDeliveries = (webhook: string) =>
  $api.useInfiniteQuery(
    "get",
    DELIVERIES,
    { params: { path: { webhook }, query: { limit: 20 } } },
    {
      ...PAGED,
      refetchInterval: ({ state }) =>
        state.data?.pages.some((page) => page.items.some(({ status }) => status === "pending"))
          ? 3_000
          : false,
    },
  );

export const deliveryOptions = (webhook: string, delivery: string) =>
  $api.queryOptions("get", DELIVERY, { params: { path: { webhook, delivery } } });

function useRefreshWebhooks(): () => Promise<void> {
  const queries = useQueryClient();
  return () =>
    queries.invalidateQueries({
      predicate: ({ queryKey }) =>
        [WEBHOOKS, WEBHOOK, DELIVERIES, DELIVERY].includes(String(queryKey[1])),
    });
}

/** Create a webhook. The answer alone contains its secret. */
export function useCreateWebhook(project: string) {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: async (body: Schema<"WebhookIn">) => {
      const { data } = await api.POST(WEBHOOKS, { params: { path: { project } }, body });
      return data as Schema<"NewWebhookOut">;
    },
    onSuccess: refresh,
  });
}

export function useChangeWebhook(webhook: string) {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: ({ version, ...body }: Schema<"WebhookPatch"> & { version: string }) =>
      api.PATCH(WEBHOOK, { params: { path: { webhook }, header: ifMatch(version) }, body }),
    onSuccess: refresh,
  });
}

export function useDeleteWebhook() {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: (webhook: string) => api.DELETE(WEBHOOK, { params: { path: { webhook } } }),
    onSuccess: refresh,
  });
}

/** Give a webhook a new secret; the old one signs, too, for a day. */
export function useRotateSecret(webhook: string) {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: async () => {
      const { data } = await api.POST("/api/v1/webhooks/{webhook}/rotate", {
        params: { path: { webhook } },
      });
      return (data as Schema<"NewWebhookOut">).secret;
    },
    onSuccess: refresh,
  });
}

export function useTestWebhook(webhook: string) {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: () =>
      api.POST("/api/v1/webhooks/{webhook}/test", { params: { path: { webhook } } }),
    onSuccess: refresh,
  });
}

export function useReplay(webhook: string) {
  const refresh = useRefreshWebhooks();
  return useMutation({
    mutationFn: (delivery: string) =>
      api.POST("/api/v1/webhooks/{webhook}/deliveries/{delivery}/replay", {
        params: { path: { webhook, delivery } },
      }),
    onSuccess: refresh,
  });
}
