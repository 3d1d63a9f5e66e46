import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import {
  findAllModelsOptions,
  findDatasetsOptions,
  findDeploymentsOptions,
  findExperimentsOptions,
  findModelsOptions,
  findTasksOptions,
} from "@/api/find";
import { usePathExists } from "../shell/routesPresent";
import type { Entry } from "./useEntries";

interface Named {
  uuid: string;
  name: string;
}

const RUNS = ["training", "external"];

/** Return the things of the project whose name matches; elsewhere, the models of all projects. */
export function useFound(
  search: string,
  project: string | undefined,
  base: string,
  can: (permission: string) => boolean,
): Entry[] {
  const { t } = useLingui();
  const exists = usePathExists();
  const uuid = project ?? "";
  const may = (permission: string) => project !== undefined && can(permission);
  const datasets = useQuery({
    ...findDatasetsOptions(uuid, search),
    enabled: may("datasets:read"),
  });
  const experiments = useQuery({
    ...findExperimentsOptions(uuid, search),
    enabled: may("training:read"),
  });
  const tasks = useQuery({ ...findTasksOptions(uuid, search), enabled: may("tasks:read") });
  const models = useQuery({ ...findModelsOptions(uuid, search), enabled: may("models:read") });
  const deployments = useQuery({
    ...findDeploymentsOptions(uuid, search),
    enabled: may("inference:read"),
  });
  const everywhere = useQuery({ ...findAllModelsOptions(search), enabled: base === "" });

  const entries = (items: readonly Named[] | undefined, section: string, kind: string): Entry[] =>
    exists(`/p/$project/${section}/$`)
      ? (items ?? []).map(({ uuid, name }) => ({
          key: uuid,
          label: name,
          kind,
          href: `${base}/${section}/${uuid}`,
        }))
      : [];
  const versioned = (items: readonly (Named & { version: string | null })[] | undefined) =>
    items?.map(({ uuid, name, version }) => ({
      uuid,
      name: version ? `${name}@${version}` : name,
    }));
  if (base === "")
    return exists("/p/$project/models/$")
      ? (everywhere.data?.items ?? [])
          .filter((model) => model.project !== null)
          .map((model) => ({
            key: model.uuid,
            label: model.version ? `${model.name}@${model.version}` : model.name,
            kind: t`Model`,
            href: `/p/${model.project}/models/${model.uuid}`,
          }))
      : [];
  const all = tasks.data?.items;
  return [
    ...entries(datasets.data?.items, "datasets", t`Dataset`),
    ...entries(experiments.data?.items, "experiments", t`Experiment`),
    ...entries(versioned(models.data?.items), "models", t`Model`),
    ...entries(deployments.data?.items, "deployments", t`Deployment`),
    ...entries(
      all?.filter(({ type }) => RUNS.includes(type)),
      "tasks",
      t`Run`,
    ),
    ...entries(
      all?.filter(({ type }) => !RUNS.includes(type)),
      "tasks",
      t`Task`,
    ),
  ];
}
