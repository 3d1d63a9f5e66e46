import { keepPreviousData, type Query, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { allBut } from "./query";
import type { Deployment, Schema } from "./types";

const DEPLOYMENTS = "/api/v1/projects/{project}/deployments";
const DEPLOYMENT = "/api/v1/deployments/{deployment}";
const SERVED = "/v1/models";

export const useDeployments = (project: string) =>
  $api.useInfiniteQuery(
    "get",
    DEPLOYMENTS,
    { params: { path: { project }, query: { limit: 100 } } },
    {
      pageParamName: "cursor",
      initialPageParam: null,
      getNextPageParam: (page: Schema<"Page_DeploymentOut_">) => page.next_cursor ?? undefined,
      placeholderData: keepPreviousData,
    },
  );

export const deploymentsOptions = (project: string) =>
  $api.queryOptions("get", DEPLOYMENTS, { params: { path: { project }, query: { limit: 200 } } });

export const deploymentOptions = (deployment: string) =>
  $api.queryOptions("get", DEPLOYMENT, { params: { path: { deployment } } });

/** Mark lists of deployments and single ones as old. */
const concerned = ({ queryKey }: Query) =>
  [DEPLOYMENTS, DEPLOYMENT, SERVED].includes(String(queryKey[1]));

export function refreshDeployments(queries: ReturnType<typeof useQueryClient>): Promise<void> {
  return queries.invalidateQueries({ predicate: concerned });
}

export function useCreateDeployment(project: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"DeploymentIn">) => {
      const { data } = await api.POST(DEPLOYMENTS, { params: { path: { project } }, body });
      return data as Deployment;
    },
    onSuccess: () => refreshDeployments(queries),
  });
}

export type DeploymentAction = "start" | "stop" | "restart";

const NEXT: Record<DeploymentAction, Deployment["status"]> = {
  start: "starting",
  stop: "stopping",
  restart: "restarting",
};

/** Start, stop or restart a deployment. Its state changes immediately, and back on refusal. */
export function useDeploymentAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({
      deployment,
      action,
    }: {
      deployment: string;
      action: DeploymentAction;
    }) => {
      const { data } = await api.POST(
        `/api/v1/deployments/{deployment}/${action}` as `/api/v1/deployments/{deployment}/stop`,
        { params: { path: { deployment } } },
      );
      return data as Deployment;
    },
    onMutate: ({ deployment, action }) => {
      const key = deploymentOptions(deployment).queryKey;
      const before = queries.getQueryData<Deployment>(key);
      if (before) queries.setQueryData(key, { ...before, status: NEXT[action] });
      return { key, before };
    },
    onError: (_error, _input, context) => {
      if (context) queries.setQueryData(context.key, context.before);
    },
    onSettled: () => refreshDeployments(queries),
  });
}

export function useUpdateDeployment(deployment: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ model, follow }: { model: string; follow: boolean }) =>
      api.POST("/api/v1/deployments/{deployment}/update", {
        params: { path: { deployment } },
        body: { model, follow },
      }),
    onSettled: () => refreshDeployments(queries),
  });
}

export function useDeleteDeployment() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (deployment: string) =>
      api.DELETE(DEPLOYMENT, { params: { path: { deployment } } }),
    onSuccess: (_data, deployment) =>
      queries.invalidateQueries({ predicate: allBut(deployment, concerned) }),
  });
}

/** What may be asked at `/v1`: names of deployments, and `:base` where a base model answers too. */
export const servedModelsOptions = $api.queryOptions("get", SERVED);
