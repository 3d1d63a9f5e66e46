import { useQuery } from "@tanstack/react-query";
import { datasetChoicesOptions, modelChoicesOptions } from "@/api/choices";
import { useCanHere, useProject } from "@/api/projects";

/** What an evaluation is about, by name. */
export interface Subject {
  uuid: string;
  name: string;
}

/** Return functions that name the model and the data of an evaluation's config. */
export function useSubjects(): {
  model: (config: Record<string, unknown>) => Subject | null;
  dataset: (config: Record<string, unknown>) => Subject | null;
} {
  const project = useProject();
  const can = useCanHere();
  const models = useQuery({
    ...modelChoicesOptions(project.uuid),
    enabled: can("models:read"),
  }).data?.items;
  const datasets = useQuery({
    ...datasetChoicesOptions(project.uuid),
    enabled: can("datasets:read"),
  }).data?.items;
  return {
    model: ({ model }) => {
      if (typeof model !== "string") return null;
      const found = models?.find((item) => item.uuid === model);
      const version = found?.version ? `@${found.version}` : "";
      return { uuid: model, name: found ? `${found.name}${version}` : model.slice(0, 8) };
    },
    dataset: ({ dataset }) => {
      const ref = typeof dataset === "object" && dataset !== null ? dataset : {};
      const uuid = "dataset" in ref && typeof ref.dataset === "string" ? ref.dataset : null;
      if (!uuid) return null;
      const found = datasets?.find((item) => item.uuid === uuid);
      const version = "version" in ref && typeof ref.version === "string" ? `@${ref.version}` : "";
      return { uuid, name: `${found?.name ?? uuid.slice(0, 8)}${version}` };
    },
  };
}
