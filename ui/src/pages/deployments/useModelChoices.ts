import { useQuery } from "@tanstack/react-query";
import { allModelsOptions } from "@/api/models";
import { useProject } from "@/api/projects";

/** Return the models that can be served in the project, newest first. */
export function useModelChoices(): { value: string; label: string }[] {
  const project = useProject();
  const models = useQuery(allModelsOptions).data?.items ?? [];
  return models
    .filter(({ status }) => status === "ready")
    .filter((model) => model.project === null || model.project === project.uuid)
    .map(({ uuid, name, version }) => ({
      value: uuid,
      label: version ? `${name}@${version}` : name,
    }));
}
