import { useLingui } from "@lingui/react/macro";
import { IconTargetArrow } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCanHere, useProjectParam } from "@/api/projects";
import { type Sweep, sweepsOptions } from "@/api/sweeps";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { Elapsed, Num, TimeAgo } from "@/design/values";
import { readSweepSpec } from "./spec";

/** The sweeps of a project, newest first. */
export function SweepTable({ project }: { project: string }) {
  const { t } = useLingui();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const { data, error, refetch } = useQuery(sweepsOptions(project));
  const columns: Column<Sweep>[] = [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (sweep) => (
        <AnchorLink
          to="/p/$project/sweeps/$sweep"
          params={{ project: param, sweep: sweep.uuid }}
          className="truncate"
          c="inherit"
          fw={500}
        >
          {sweep.name}
        </AnchorLink>
      ),
    },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (sweep) => <Status status={sweep.status} />,
    },
    {
      id: "parameters",
      header: t`Parameters`,
      cell: (sweep) => (
        <span className="mono">{Object.keys(readSweepSpec(sweep.spec).parameters).join(", ")}</span>
      ),
    },
    {
      id: "objective",
      header: t`Objective`,
      width: 140,
      cell: (sweep) => <span className="mono">{readSweepSpec(sweep.spec).objective}</span>,
    },
    {
      id: "trials",
      header: t`Trials, at most`,
      width: 120,
      align: "right",
      cell: (sweep) => <Num value={readSweepSpec(sweep.spec).maxTrials} />,
    },
    {
      id: "duration",
      header: t`Duration`,
      width: 120,
      align: "right",
      cell: (sweep) => <Elapsed since={sweep.created_at} until={sweep.ended_at} />,
    },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: (sweep) => <UserName user={sweep.author} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      cell: (sweep) => <TimeAgo time={sweep.created_at} />,
    },
  ];
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <DataTable
      label={t`Sweeps`}
      columns={columns}
      rows={data?.items}
      rowKey={(sweep) => sweep.uuid}
      onOpen={(sweep) =>
        void navigate({
          to: "/p/$project/sweeps/$sweep",
          params: { project: param, sweep: sweep.uuid },
        })
      }
      empty={
        <EmptyState
          icon={<IconTargetArrow size={32} stroke={1.5} />}
          title={t`No sweeps yet`}
          action={
            can("training:write") && (
              <ButtonLink to="/p/$project/sweeps/new" params={{ project: param }}>
                {t`New sweep`}
              </ButtonLink>
            )
          }
        >
          {t`A sweep trains an experiment with different settings, such as learning rates, and finds the best.`}
        </EmptyState>
      }
    />
  );
}
