import { useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { IconTimeline } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import type { MetricSummary } from "@/api/experiments";
import { useRerun } from "@/api/experiments";
import { useCanHere, useProjectParam } from "@/api/projects";
import type { Task } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ButtonLink } from "@/design/links";
import { TaskLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { useComplain } from "@/design/useComplain";
import { Elapsed, Metric, TimeAgo } from "@/design/values";
import { TaskProgress } from "@/pages/tasks/TaskRows";
import { isGateFailure, OverrideGate } from "./OverrideGate";
import { MOST } from "./search";

interface Props {
  runs: Task[] | undefined;
  /** The figures of each run, by its task. */
  summaries: ReadonlyMap<string, Record<string, MetricSummary>>;
  keys: readonly string[];
}

/** The runs of one experiment with their figures so far. */
export function ExperimentRuns({ runs, summaries, keys }: Props) {
  const { t } = useLingui();
  const param = useProjectParam();
  const navigate = useNavigate();
  const losses = keys.filter((key) => /loss|accuracy/.test(key)).slice(0, 4);
  const columns: Column<Task>[] = [
    {
      id: "name",
      header: t`Run`,
      primary: true,
      cell: (run) => <TaskLink uuid={run.uuid} name={run.name} />,
    },
    { id: "status", header: t`Status`, width: 120, cell: (run) => <Status status={run.status} /> },
    {
      id: "progress",
      header: t`Progress`,
      width: 220,
      cell: (run) => <TaskProgress task={run} />,
    },
    ...losses.map((key) => ({
      id: key,
      header: key,
      width: 110,
      align: "right" as const,
      cell: (run: Task) => {
        const summary = summaries.get(run.uuid)?.[key];
        return <Metric value={summary?.best ?? summary?.last} />;
      },
    })),
    {
      id: "duration",
      header: t`Duration`,
      width: 120,
      align: "right",
      cell: (run) => <Elapsed since={run.started_at} until={run.completed_at} />,
    },
    { id: "author", header: t`Author`, width: 120, cell: (run) => <UserName user={run.author} /> },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      cell: (run) => <TimeAgo time={run.created_at} />,
    },
  ];
  return (
    <DataTable
      label={t`Runs`}
      columns={columns}
      rows={runs}
      rowKey={(run) => run.uuid}
      onOpen={(run) =>
        void navigate({
          to: "/p/$project/tasks/$task",
          params: { project: param, task: run.uuid },
        })
      }
      bulk={(chosen) => <Bulk runs={chosen} />}
      empty={
        <EmptyState icon={<IconTimeline size={32} stroke={1.5} />} title={t`Not run yet`}>
          {t`Start a run to train with this configuration. Later changes of the experiment leave earlier runs as they were.`}
        </EmptyState>
      }
    />
  );
}

function Bulk({ runs }: { runs: Task[] }) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const navigate = useNavigate();
  const rerun = useRerun();
  const complain = useComplain();
  const [only] = runs;
  const again = (run: string, reason?: string) =>
    rerun.mutate(
      { run, priority: 5, override_gate: reason },
      {
        onSuccess: (task) =>
          void navigate({ to: "/p/$project/tasks/$task", params: { project, task: task.uuid } }),
        onError: (error) => !isGateFailure(error) && complain(error),
      },
    );
  return (
    <>
      {runs.length > 1 && runs.length <= MOST && (
        <ButtonLink
          to="/p/$project/experiments/compare"
          params={{ project }}
          search={{ run: runs.map((run) => run.uuid) }}
        >
          {t`Compare`}
        </ButtonLink>
      )}
      {runs.length === 1 && only?.type === "training" && can("training:write") && (
        <>
          <Button
            variant="default"
            loading={rerun.isPending}
            onClick={() => again(only.uuid)}
          >{t`Run again exactly`}</Button>
          <OverrideGate
            error={rerun.error}
            onClose={() => rerun.reset()}
            onOverride={(reason) => again(only.uuid, reason)}
            pending={rerun.isPending}
          />
        </>
      )}
    </>
  );
}
