/** Queries of the cards that appear when the pointer rests on a reference. */
import { $api } from "./client";

const settings = { staleTime: 30_000, retry: false };

export const datasetPreviewOptions = (dataset: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/datasets/{dataset}",
    { params: { path: { dataset } } },
    settings,
  );

export const modelPreviewOptions = (model: string) =>
  $api.queryOptions("get", "/api/v1/models/{model}", { params: { path: { model } } }, settings);

export const experimentPreviewOptions = (experiment: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/experiments/{experiment}",
    { params: { path: { experiment } } },
    settings,
  );

export const deploymentPreviewOptions = (deployment: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/deployments/{deployment}",
    { params: { path: { deployment } } },
    settings,
  );

export const projectPreviewOptions = (project: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}",
    { params: { path: { project } } },
    settings,
  );

export const userPreviewOptions = (user: string) =>
  $api.queryOptions("get", "/api/v1/users/{user}", { params: { path: { user } } }, settings);
