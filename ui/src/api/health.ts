import { useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import type { Schema } from "./types";

export const healthOptions = $api.queryOptions("get", "/api/v1/health/details", undefined, {
  refetchInterval: 15_000,
});

/** Delete what nothing refers to any more; with `dry_run`, only tell what would be deleted. */
export function useCollectGarbage() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"CollectRequest">) => {
      const { data } = await api.POST("/api/v1/storage/gc", { body });
      return data as Schema<"Collected">;
    },
    onSuccess: () => queries.invalidateQueries({ queryKey: healthOptions.queryKey }),
  });
}
