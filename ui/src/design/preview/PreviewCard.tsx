import { useLingui } from "@lingui/react/macro";
import { Skeleton } from "@mantine/core";
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import {
  datasetPreviewOptions,
  deploymentPreviewOptions,
  experimentPreviewOptions,
  modelPreviewOptions,
  projectPreviewOptions,
  userPreviewOptions,
} from "@/api/previews";
import { taskOptions } from "@/api/tasks";
import { formatPercent } from "../format";
import { Status } from "../Status";
import { Elapsed, Num, Size, TimeAgo } from "../values";
import classes from "./PreviewCard.module.css";

export type PreviewKind =
  | "dataset"
  | "deployment"
  | "experiment"
  | "model"
  | "project"
  | "task"
  | "user";

interface Props {
  uuid: string;
}

const CARDS: Record<PreviewKind, (props: Props) => ReactNode> = {
  dataset: DatasetCard,
  deployment: DeploymentCard,
  experiment: ExperimentCard,
  model: ModelCard,
  project: ProjectCard,
  task: TaskCard,
  user: UserCard,
};

/** The essentials of a thing. They are read when the card opens. */
export function PreviewCard({ kind, uuid }: Props & { kind: PreviewKind }) {
  const Card = CARDS[kind];
  return <Card uuid={uuid} />;
}

interface Essentials {
  name: string;
  status?: string;
  text?: string | null;
  facts: readonly [string, ReactNode][];
}

function Frame<Data>(props: {
  query: UseQueryResult<Data, unknown>;
  show: (data: Data) => Essentials;
}) {
  const { t } = useLingui();
  const { data, isError } = props.query;
  if (isError) return <p className={classes.text}>{t`It was deleted, or you may not read it.`}</p>;
  if (!data) return <Skeleton height={72} aria-label={t`Loading`} />;
  const { name, status, text, facts } = props.show(data);
  return (
    <>
      <div className={classes.head}>
        <span className="truncate">{name}</span>
        {status && <Status status={status} />}
      </div>
      {text && <p className={classes.text}>{text}</p>}
      <dl className={classes.facts}>
        {facts.map(([label, value]) => (
          <Fact key={label} label={label} value={value} />
        ))}
      </dl>
    </>
  );
}

function Fact({ label, value }: { label: string; value: ReactNode }) {
  return (
    <>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </>
  );
}

function DatasetCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(datasetPreviewOptions(uuid))}
      show={(dataset) => ({
        name: dataset.name,
        status: dataset.status,
        facts: [
          [t`Version`, dataset.version],
          [t`Rows`, <Num key="rows" value={dataset.row_count} />],
          [t`Size`, <Size key="size" bytes={dataset.size} />],
          [t`Changed`, <TimeAgo key="changed" time={dataset.updated_at} />],
        ],
      })}
    />
  );
}

function ModelCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(modelPreviewOptions(uuid))}
      show={(model) => ({
        name: model.version ? `${model.name}@${model.version}` : model.name,
        status: model.status,
        text: model.error,
        facts: [
          ...(model.base_model
            ? ([[t`Base model`, model.base_model.name]] as [string, ReactNode][])
            : []),
          [t`Size`, <Size key="size" bytes={model.size} />],
          [t`Licence`, model.license ?? "–"],
          [t`Created`, <TimeAgo key="created" time={model.created_at} />],
        ],
      })}
    />
  );
}

function ExperimentCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(experimentPreviewOptions(uuid))}
      show={(experiment) => ({
        name: experiment.name,
        status: experiment.status,
        text: experiment.description,
        facts: [
          [t`Tags`, experiment.tags.join(", ") || "–"],
          [t`Author`, experiment.author?.username ?? "–"],
          [t`Changed`, <TimeAgo key="changed" time={experiment.updated_at} />],
        ],
      })}
    />
  );
}

function DeploymentCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(deploymentPreviewOptions(uuid))}
      show={(deployment) => ({
        name: deployment.name,
        status: deployment.status,
        text: deployment.error,
        facts: [
          [t`Model`, deployment.model_name ?? "–"],
          [t`Restarts`, <Num key="restarts" value={deployment.restarts} />],
          [t`Changed`, <TimeAgo key="changed" time={deployment.updated_at} />],
        ],
      })}
    />
  );
}

function TaskCard({ uuid }: Props) {
  const { t, i18n } = useLingui();
  return (
    <Frame
      query={useQuery(taskOptions(uuid))}
      show={(task) => ({
        name: task.name,
        status: task.status,
        text: task.error_message,
        facts: [
          ...(task.completed_at === null
            ? ([[t`Progress`, formatPercent(task.progress, i18n.locale)]] as [string, ReactNode][])
            : []),
          [
            t`Duration`,
            <Elapsed key="duration" since={task.started_at} until={task.completed_at} />,
          ],
          [t`Author`, task.author?.username ?? "–"],
          [t`Created`, <TimeAgo key="created" time={task.created_at} />],
        ],
      })}
    />
  );
}

function ProjectCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(projectPreviewOptions(uuid))}
      show={(project) => ({
        name: project.name,
        status: project.status,
        text: project.description,
        facts: [
          [t`Owner`, project.owner?.username ?? "–"],
          [t`Created`, <TimeAgo key="created" time={project.created_at} />],
        ],
      })}
    />
  );
}

function UserCard({ uuid }: Props) {
  const { t } = useLingui();
  return (
    <Frame
      query={useQuery(userPreviewOptions(uuid))}
      show={(user) => ({
        name: user.username,
        status: user.is_active ? "active" : "inactive",
        text: user.email,
        facts: [
          [t`Role`, user.role],
          [t`Last sign-in`, <TimeAgo key="seen" time={user.last_login_at} />],
        ],
      })}
    />
  );
}
