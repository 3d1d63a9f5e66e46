import { useLingui } from "@lingui/react/macro";
import { Badge } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useProjectParam } from "@/api/projects";
import type { SweepDetail, Trial } from "@/api/sweeps";
import { formatPercent } from "@/design/format";
import { ModelLink, TaskLink } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { Metric } from "@/design/values";
import { showValue } from "@/pages/experiments/figures";
import { readSweepSpec } from "./spec";

interface Props {
  sweep: SweepDetail;
  marked: number | null;
  onMark: (trial: number) => void;
}

/** The trials of a sweep, the best first; those without a result follow by number. */
export function TrialTable({ sweep, marked, onMark }: Props) {
  const { t, i18n } = useLingui();
  const param = useProjectParam();
  const navigate = useNavigate();
  const facts = readSweepSpec(sweep.spec);
  const columns: Column<Trial>[] = [
    {
      id: "number",
      header: t`Trial`,
      primary: true,
      width: 140,
      cell: (trial) => (
        <>
          {trial.task ? (
            <TaskLink uuid={trial.task} name={`#${trial.number}`} />
          ) : (
            `#${trial.number}`
          )}{" "}
          {trial.number === sweep.best?.number && (
            <Badge size="sm" variant="default" tt="none">
              {t`best`}
            </Badge>
          )}
        </>
      ),
    },
    {
      id: "state",
      header: t`Status`,
      width: 170,
      cell: (trial) => (
        <>
          <Status status={trial.state} />{" "}
          {trial.state === "running" && trial.progress !== null && (
            <span className="secondary">{formatPercent(trial.progress, i18n.locale)}</span>
          )}
        </>
      ),
    },
    {
      id: "value",
      header: facts.objective,
      align: "right",
      width: 130,
      cell: (trial) => <Metric value={trial.value} />,
    },
    ...Object.keys(facts.parameters).map(
      (path): Column<Trial> => ({
        id: path,
        header: path,
        align: "right",
        cell: (trial) => {
          const value = trial.params[path];
          return typeof value === "number" ? (
            <Metric value={value} />
          ) : (
            <span className="mono">{showValue(value)}</span>
          );
        },
      }),
    ),
    {
      id: "model",
      header: t`Model`,
      width: 120,
      cell: (trial) =>
        trial.model && <ModelLink uuid={trial.model} name={trial.model.slice(0, 8)} />,
    },
    {
      id: "error",
      header: t`Error`,
      cell: (trial) => <span title={trial.error ?? undefined}>{trial.error}</span>,
    },
  ];
  return (
    <DataTable
      label={t`Trials`}
      columns={columns}
      rows={orderTrials(sweep.trials, facts.direction)}
      rowKey={(trial) => String(trial.number)}
      previewed={marked === null ? null : String(marked)}
      onPreview={(trial) => onMark(trial.number)}
      onOpen={(trial) =>
        trial.task &&
        void navigate({
          to: "/p/$project/tasks/$task",
          params: { project: param, task: trial.task },
        })
      }
    />
  );
}

function orderTrials(trials: readonly Trial[], direction: "minimize" | "maximize"): Trial[] {
  const sign = direction === "minimize" ? 1 : -1;
  const key = (trial: Trial) =>
    trial.value === null ? Number.POSITIVE_INFINITY : sign * trial.value;
  return [...trials].sort((a, b) => compare(key(a), key(b)) || a.number - b.number);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
