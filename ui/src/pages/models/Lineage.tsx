import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import {
  IconBox,
  IconBoxSeam,
  IconDatabase,
  IconFlask,
  IconListDetails,
  IconRocket,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { ComponentType } from "react";
import { deploymentsOptions } from "@/api/deployments";
import { lineageOptions } from "@/api/models";
import { useProject } from "@/api/projects";
import type { Deployment, Model, Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DatasetLink, DeploymentLink, ExperimentLink, ModelLink, TaskLink } from "@/design/refs";
import { TableSkeleton } from "@/design/Skeletons";
import { useStatusLabel } from "@/design/Status";
import { buildGraph, edgePath, type GraphNode, layOut, NODE, type NodeKind } from "./graph";
import classes from "./Models.module.css";
import { modelLabel } from "./versions";

const ICONS: Record<NodeKind, ComponentType<{ size?: number; "aria-hidden"?: boolean }>> = {
  dataset: IconDatabase,
  base: IconBoxSeam,
  experiment: IconFlask,
  task: IconListDetails,
  model: IconBox,
  deployment: IconRocket,
};

const LINKS = {
  dataset: DatasetLink,
  base: ModelLink,
  experiment: ExperimentLink,
  task: TaskLink,
  model: ModelLink,
  deployment: DeploymentLink,
};

/** What a model was made of and where it answers, as a graph from left to right. */
export function Lineage({ model, seesDeployments }: { model: Model; seesDeployments: boolean }) {
  const { t } = useLingui();
  const project = useProject();
  const lineage = useQuery(lineageOptions(model.uuid));
  const deployments = useQuery({ ...deploymentsOptions(project.uuid), enabled: seesDeployments });
  const graph = useGraph(model, lineage.data, deployments.data?.items ?? []);
  const kinds = useKindLabels();
  if (lineage.error)
    return <ErrorNotice error={lineage.error} onRetry={() => void lineage.refetch()} />;
  if (!lineage.data) return <TableSkeleton rows={4} />;
  const { places, width, height } = layOut(graph);
  return (
    <>
      <section className={classes.graph} aria-label={t`Lineage`} tabIndex={0}>
        <div className={classes.canvas} style={{ width, height }}>
          <svg className={classes.lines} width={width} height={height} aria-hidden>
            {graph.edges.map(([from, to]) => {
              const start = places.get(from);
              const end = places.get(to);
              return start && end && <path key={`${from} ${to}`} d={edgePath(start, end)} />;
            })}
          </svg>
          <ol className={classes.nodes}>
            {graph.columns.flat().map((node) => {
              const place = places.get(node.key);
              const Icon = ICONS[node.kind];
              const Link = LINKS[node.kind];
              return (
                <li
                  key={node.key}
                  className={classes.node}
                  data-current={node.kind === "model" || undefined}
                  style={{ left: place?.x, top: place?.y, width: NODE.width, height: NODE.height }}
                >
                  <span className={classes.kind}>
                    <Icon size={14} aria-hidden />
                    {kinds[node.kind]}
                    {node.detail && <span className="truncate">· {node.detail}</span>}
                  </span>
                  <span className="truncate" title={node.label}>
                    {node.uuid && node.kind !== "model" ? (
                      <Link uuid={node.uuid} name={node.label} />
                    ) : (
                      node.label
                    )}
                  </span>
                </li>
              );
            })}
          </ol>
        </div>
      </section>
      {graph.edges.length === 0 && (
        <Text c="dimmed" mt="sm">
          {t`This model was brought in from outside, and nothing uses it yet. A training on a dataset of this project draws the first line here.`}
        </Text>
      )}
    </>
  );
}

function useKindLabels(): Record<NodeKind, string> {
  const { t } = useLingui();
  return {
    dataset: t`Dataset`,
    base: t`Base model`,
    experiment: t`Experiment`,
    task: t`Task`,
    model: t`Model`,
    deployment: t`Deployment`,
  };
}

function useGraph(model: Model, lineage: Schema<"LineageOut"> | undefined, all: Deployment[]) {
  const { t } = useLingui();
  const statusLabel = useStatusLabel();
  const roles: Record<string, string> = {
    dataset: t`training`,
    eval_dataset: t`held-out`,
    replay_dataset: t`mixed in`,
  };
  const base = lineage?.base_model;
  return buildGraph({
    datasets: (lineage?.dataset_versions ?? []).map(
      (source): GraphNode => ({
        key: `${source.role} ${source.label}`,
        kind: "dataset",
        label: source.label,
        uuid: source.dataset,
        detail: roles[source.role] ?? source.role,
      }),
    ),
    base: base ? { key: base.uuid, kind: "base", label: modelLabel(base), uuid: base.uuid } : null,
    experiment: lineage?.experiment
      ? {
          key: lineage.experiment.uuid,
          kind: "experiment",
          label: lineage.experiment.name,
          uuid: lineage.experiment.uuid,
        }
      : null,
    task: lineage?.task
      ? {
          key: lineage.task.uuid,
          kind: "task",
          label: lineage.task.name,
          uuid: lineage.task.uuid,
        }
      : null,
    model: { key: model.uuid, kind: "model", label: modelLabel(model), uuid: model.uuid },
    deployments: all
      .filter((deployment) => deployment.model === model.uuid)
      .map(
        (deployment): GraphNode => ({
          key: deployment.uuid,
          kind: "deployment",
          label: deployment.name,
          uuid: deployment.uuid,
          detail: statusLabel(deployment.status),
        }),
      ),
  });
}
