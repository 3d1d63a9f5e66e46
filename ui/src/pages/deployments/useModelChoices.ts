import { useQuery } from "@tanstack/react-query";
import { allModelsOptions } from "@/api/models";
import { useCanHere, useProject } from "@/api/projects";
import { recentTasksOptions } from "@/api/tasks";
import { FROM_TASK } from "./fromTask";

/** Return the models that can be served in the project, newest first. */
export function useModelChoices(): { value: string; label: string }[] {
  const project = useProject();
  const models = useQuery(allModelsOptions).data?.items ?? [];
  return models
    .filter(({ status, kind }) => status === "ready" && kind === "language_model")
    .filter((model) => model.project === null || model.project === project.uuid)
    .map(({ uuid, name, version }) => ({
      value: uuid,
      label: version ? `${name}@${version}` : name,
    }));
}

/** Return the aliases that a deployment of the project can follow. */
export function useAliasChoices(): { value: string; label: string }[] {
  const project = useProject();
  const models = useQuery(allModelsOptions).data?.items ?? [];
  const names = models
    .filter(({ status, kind }) => status === "ready" && kind === "language_model")
    .filter((model) => model.project === null || model.project === project.uuid)
    .flatMap(({ name, aliases }) => aliases.map((alias) => `${name}@${alias}`));
  return [...new Set(names)].sort().map((name) => ({ value: name, label: name }));
}

const UNFINISHED = ["pending", "running", "paused"];

/** Return the trainings that have not ended, whose models can be deployed in advance. */
export function useTrainingChoices(): { value: string; label: string }[] {
  const project = useProject();
  const can = useCanHere();
  const tasks = useQuery({
    ...recentTasksOptions(project.uuid, { type: "training" }, 40),
    enabled: can("tasks:read"),
  });
  return (tasks.data?.items ?? [])
    .filter(({ status }) => UNFINISHED.includes(status))
    .map(({ uuid, name }) => ({ value: `${FROM_TASK}${uuid}`, label: name }));
}
