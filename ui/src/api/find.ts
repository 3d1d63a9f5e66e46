/** Queries of the command palette: a few things of each kind whose name matches. */
import { keepPreviousData } from "@tanstack/react-query";
import { $api } from "./client";

const LIMIT = 10;

const settings = { staleTime: 30_000, placeholderData: keepPreviousData, retry: false };

const query = (name: string) => ({ limit: LIMIT, ...(name ? { name } : {}) });

export const findDatasetsOptions = (project: string, name: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/datasets",
    { params: { path: { project }, query: query(name) } },
    settings,
  );

export const findExperimentsOptions = (project: string, name: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/experiments",
    { params: { path: { project }, query: query(name) } },
    settings,
  );

export const findTasksOptions = (project: string, name: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/tasks",
    { params: { path: { project }, query: query(name) } },
    settings,
  );

export const findModelsOptions = (project: string, name: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/models",
    { params: { path: { project }, query: query(name) } },
    settings,
  );

/** Models of all projects that the user may read. */
export const findAllModelsOptions = (name: string) =>
  $api.queryOptions("get", "/api/v1/models", { params: { query: query(name) } }, settings);

export const findDeploymentsOptions = (project: string, name: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/deployments",
    { params: { path: { project }, query: query(name) } },
    settings,
  );
