import { useQuery } from "@tanstack/react-query";
import {
  datasetChoicesOptions,
  datasetVersionOptions,
  gateOptions,
  modelChoicesOptions,
  quotaOptions,
} from "@/api/choices";
import { useCanHere, useProject } from "@/api/projects";
import type { Dataset, Model, Schema } from "@/api/types";
import { countSteps, type Draft, readTokens, type TokenFigures } from "./draft";
import type { Names } from "./equivalents";

export interface TrainingFacts {
  dataset: Dataset | undefined;
  version: Schema<"DatasetVersionOut"> | undefined;
  rows: number | null;
  tokens: TokenFigures | null;
  gate: Schema<"GateVerdict"> | undefined;
  model: Model | undefined;
  heldOut: Dataset | undefined;
  steps: number | null;
  maxPriority: number | null;
  names: Names;
}

/** What the platform knows of the things that the form names. */
export function useTrainingFacts(draft: Draft): TrainingFacts {
  const project = useProject();
  const can = useCanHere();
  const readsData = can("datasets:read");
  const datasets = useQuery({
    ...datasetChoicesOptions(project.uuid),
    enabled: readsData,
  }).data?.items;
  const models = useQuery({
    ...modelChoicesOptions(project.uuid),
    enabled: can("models:read"),
  }).data?.items;
  const usage = useQuery(quotaOptions(project.uuid)).data;
  const dataset = datasets?.find((item) => item.uuid === draft.dataset);
  const heldOut = datasets?.find((item) => item.uuid === draft.evalDataset);
  const replay = datasets?.find((item) => item.uuid === draft.replayDataset);
  const model = models?.find((item) => item.uuid === draft.model);
  const wanted = draft.version || dataset?.version || "";
  const version = useQuery(datasetVersionOptions(draft.dataset, wanted)).data;
  const gate = useQuery(gateOptions(draft.dataset, wanted)).data;
  const rows = version?.row_count ?? null;
  const name = (found: Dataset | undefined, chosen: string) =>
    found ? (chosen ? `${found.name}@${chosen}` : found.name) : null;
  return {
    dataset,
    version,
    rows,
    tokens: readTokens(version?.report),
    gate,
    model,
    heldOut,
    steps: countSteps(draft, rows),
    maxPriority: usage?.max_priority ?? null,
    names: {
      project: project.name,
      dataset: name(dataset, draft.version),
      evalDataset: name(heldOut, draft.evalVersion),
      replayDataset: draft.method === "cpt" ? name(replay, draft.replayVersion) : null,
      model: model ? `${model.name}${model.version ? `@${model.version}` : ""}` : null,
    },
  };
}
