import { type Query, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { refreshDeployments } from "./deployments";
import { useRefreshModels } from "./models";
import type { Schema } from "./types";

export type Alias = Schema<"ModelAliasOut">;
export type AliasMove = Schema<"ModelAliasMoveOut">;

const ALIASES = "/api/v1/models/{model}/aliases";
const ALIAS = "/api/v1/models/{model}/aliases/{alias}";
const MOVES = "/api/v1/models/{model}/aliases/{alias}/moves";

/** The aliases of all versions of the model. */
export const aliasesOptions = (model: string) =>
  $api.queryOptions("get", ALIASES, { params: { path: { model }, query: { limit: 100 } } });

/** The moves of an alias, newest first. */
export const aliasMovesOptions = (model: string, alias: string) =>
  $api.queryOptions("get", MOVES, { params: { path: { model, alias }, query: { limit: 100 } } });

/** Read again what a move changes: aliases, models, and the deployments that follow. */
function useRefresh(): () => Promise<unknown> {
  const queries = useQueryClient();
  const models = useRefreshModels();
  const concerned = ({ queryKey }: Query) => [ALIASES, MOVES].includes(String(queryKey[1]));
  return () =>
    Promise.all([
      models(),
      queries.invalidateQueries({ predicate: concerned }),
      refreshDeployments(queries),
    ]);
}

interface Move {
  /** The version to which the alias moves. */
  model: string;
  alias: string;
  /** The version to which it points on the page; null for a new alias. */
  expected: string | null;
  reason: string;
}

export function useMoveAlias() {
  const refresh = useRefresh();
  return useMutation({
    mutationFn: ({ model, alias, expected, reason }: Move) =>
      api.PUT(ALIAS, { params: { path: { model, alias } }, body: { expected, reason } }),
    onSettled: refresh,
  });
}

export function useUndoAlias() {
  const refresh = useRefresh();
  return useMutation({
    mutationFn: ({ model, alias, expected, reason }: Move) =>
      api.POST("/api/v1/models/{model}/aliases/{alias}/undo", {
        params: { path: { model, alias } },
        body: { expected, reason: reason || null },
      }),
    onSettled: refresh,
  });
}

export function useDeleteAlias() {
  const refresh = useRefresh();
  return useMutation({
    mutationFn: ({ model, alias, reason }: Omit<Move, "expected">) =>
      api.DELETE(ALIAS, {
        params: { path: { model, alias }, query: { reason: reason || undefined } },
      }),
    onSettled: refresh,
  });
}
