import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { deploymentsOptions, servedModelsOptions } from "@/api/deployments";
import { useProject } from "@/api/projects";
import type { Deployment } from "@/api/types";
import { parseWho } from "./chat";
import { loadParameters, type Parameters, saveParameters } from "./parameters";

export interface Pane {
  who: string;
  /** Null while it is not known, or if it does not exist any more. */
  deployment: Deployment | null;
  base: boolean;
  label: string;
  parameters: Parameters;
}

export interface Choice {
  value: string;
  label: string;
  disabled: boolean;
}

/** Who answers in the playground, who else could, and their parameters. */
export function usePanes(chosen: readonly string[] | undefined) {
  const { t } = useLingui();
  const project = useProject();
  const list = useQuery(deploymentsOptions(project.uuid));
  const served = useQuery(servedModelsOptions).data?.data;
  const [known, setKnown] = useState<Record<string, Parameters>>({});
  const deployments = list.data?.items ?? [];
  const ids = new Set(served?.map(({ id }) => id));
  const hasBase = ({ uuid, name }: Deployment) =>
    [name, `${project.name}/${name}`, uuid].some((id) => ids.has(`${id}:base`));
  const label = (deployment: Deployment, base: boolean) =>
    base ? t`${deployment.name} without its adapter` : deployment.name;
  const ready = deployments.find(({ status }) => status === "ready") ?? deployments[0];
  const who = chosen ?? (ready ? [ready.uuid] : []);
  const panes = who.map((name): Pane => {
    const { deployment: uuid, base } = parseWho(name);
    const deployment = deployments.find((item) => item.uuid === uuid) ?? null;
    return {
      who: name,
      deployment,
      base,
      label: deployment ? label(deployment, base) : uuid.slice(0, 8),
      parameters: known[name] ?? loadParameters(name),
    };
  });
  const choices = deployments.flatMap((deployment): Choice[] => {
    const disabled = deployment.status !== "ready";
    const own = { value: deployment.uuid, label: label(deployment, false), disabled };
    if (!hasBase(deployment)) return [own];
    const base = { value: `${deployment.uuid}:base`, label: label(deployment, true), disabled };
    return [own, base];
  });
  const setParameters = (names: readonly string[], parameters: Parameters) => {
    for (const name of names) saveParameters(name, parameters);
    setKnown((before) => ({
      ...before,
      ...Object.fromEntries(names.map((name) => [name, parameters])),
    }));
  };
  return { panes, choices, setParameters, list };
}
