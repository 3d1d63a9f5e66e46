/** What forms offer to choose from. */
import { $api } from "./client";

export const datasetChoicesOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/datasets", {
    params: { path: { project }, query: { limit: 500 } },
  });

export const versionChoicesOptions = (dataset: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}/versions",
    { params: { path: { dataset }, query: { limit: 100 } } },
    { enabled: dataset !== "" },
  );

export const datasetVersionOptions = (dataset: string, version: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}/versions/{version}",
    { params: { path: { dataset, version } } },
    { enabled: dataset !== "" && version !== "" },
  );

export const gateOptions = (dataset: string, version: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}/versions/{version}/gate",
    { params: { path: { dataset, version } } },
    { enabled: dataset !== "" && version !== "" },
  );

export const modelChoicesOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/models", {
    params: { path: { project }, query: { limit: 500 } },
  });

export const quotaOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/usage", { params: { path: { project } } });
