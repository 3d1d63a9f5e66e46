import { useLingui } from "@lingui/react/macro";
import { Badge, Group } from "@mantine/core";
import type { Run } from "@/api/experiments";
import { useProjectParam } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { AnchorLink } from "@/design/links";
import { ExperimentLink, TaskLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import type { Column } from "@/design/table/types";
import { Elapsed, Id, Metric, TimeAgo } from "@/design/values";
import { knownPaths, showValue, valueAtPath } from "./figures";

interface Facts {
  config: Record<string, unknown>;
  metrics: Record<string, unknown>;
}

/** Metrics that the lists show by themselves, where their rows have them. */
const OF_EXPERIMENTS = [
  "metrics.eval_loss",
  "metrics.train_loss_last",
  "metrics.eval_mean_reward",
  "metrics.mean_reward_last",
];
const OF_RUNS = ["metrics.eval_loss", "metrics.loss", "metrics.eval_mean_reward"];

/** Return a column for each metric and each setting that the rows have. */
function figureColumns<Row extends Facts>(
  rows: readonly Row[],
  shown: readonly string[],
): Column<Row>[] {
  return knownPaths(rows).map((path) => ({
    id: path,
    header: path.slice(path.indexOf(".") + 1),
    align: "right",
    width: 110,
    sortable: true,
    optional: !shown.includes(path),
    cell: (row) => {
      const value = valueAtPath(row, path);
      if (typeof value === "number") return <Metric value={value} />;
      return <span className="mono">{showValue(value)}</span>;
    },
  }));
}

export function Tags({ tags }: { tags: readonly string[] }) {
  return (
    <Group gap={4} wrap="nowrap" component="span">
      {tags.map((tag) => (
        <Badge key={tag} size="sm" variant="default" tt="none" maw={160}>
          {tag}
        </Badge>
      ))}
    </Group>
  );
}

export function useExperimentColumns(rows: readonly Experiment[]): Column<Experiment>[] {
  const { t } = useLingui();
  const project = useProjectParam();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (row) => (
        <AnchorLink
          to="/p/$project/experiments/$experiment"
          params={{ project, experiment: row.uuid }}
          className="truncate"
          c="inherit"
          fw={500}
        >
          {row.name}
        </AnchorLink>
      ),
    },
    {
      id: "status",
      header: t`Latest run`,
      width: 120,
      cell: (row) => <Status status={row.archived_at ? "archived" : row.status} />,
    },
    {
      id: "base_model",
      header: t`Base model`,
      width: 190,
      cell: (row) => <span title={row.base_model ?? undefined}>{row.base_model ?? "–"}</span>,
    },
    ...figureColumns(rows, OF_EXPERIMENTS),
    { id: "tags", header: t`Tags`, width: 160, cell: (row) => <Tags tags={row.tags} /> },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: (row) => <UserName user={row.author} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      sortable: true,
      cell: (row) => <TimeAgo time={row.created_at} />,
    },
    {
      id: "description",
      header: t`Description`,
      optional: true,
      cell: (row) => row.description,
    },
    { id: "id", header: t`Id`, optional: true, cell: (row) => <Id value={row.uuid} /> },
  ];
}

export function useRunColumns(rows: readonly Run[]): Column<Run>[] {
  const { t } = useLingui();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (row) => <TaskLink uuid={row.uuid} name={row.name} />,
    },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (row) => <Status status={row.status} />,
    },
    {
      id: "experiment",
      header: t`Experiment`,
      width: 160,
      cell: (row) =>
        row.experiment ? (
          <ExperimentLink uuid={row.experiment.uuid} name={row.experiment.name} />
        ) : (
          <span className="secondary">{t`none`}</span>
        ),
    },
    ...figureColumns(rows, OF_RUNS),
    {
      id: "duration",
      header: t`Duration`,
      width: 110,
      align: "right",
      cell: (row) => <Elapsed since={row.started_at} until={row.completed_at} />,
    },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: (row) => <UserName user={row.author} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      sortable: true,
      cell: (row) => <TimeAgo time={row.created_at} />,
    },
    {
      id: "error",
      header: t`Error`,
      optional: true,
      cell: (row) => <span title={row.error_message ?? undefined}>{row.error_message}</span>,
    },
    { id: "id", header: t`Id`, optional: true, cell: (row) => <Id value={row.uuid} /> },
  ];
}
