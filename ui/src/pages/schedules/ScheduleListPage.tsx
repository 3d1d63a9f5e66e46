import { useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { IconClock, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { type Schedule, schedulesOptions, useCreateSchedule } from "@/api/schedules";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo, TimeUntil } from "@/design/values";
import { readAction, writeAction } from "./action";
import { EMPTY, ScheduleForm } from "./ScheduleForm";
import type { ScheduleListSearch } from "./search";
import { useActionText } from "./useActionText";
import { useRepetitionText } from "./useRepetition";

interface Props {
  search: ScheduleListSearch;
  onSearch: (search: ScheduleListSearch) => void;
}

/** What the project does by itself, and when next. */
export function ScheduleListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const columns = useColumns();
  const { data, error, refetch } = useQuery(schedulesOptions(project.uuid));
  const create = useCreateSchedule(project.uuid);
  const add = can("tasks:write") && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => onSearch({ create: true })}>
      {t`New schedule`}
    </Button>
  );
  return (
    <>
      <PageHeader
        title={t`Schedules`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`Trainings and reports that start by themselves at regular times.`}
        actions={add}
      />
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Schedules`}
          columns={columns}
          rows={data?.items}
          rowKey={(schedule) => schedule.uuid}
          onOpen={(schedule) =>
            void navigate({
              to: "/p/$project/schedules/$schedule",
              params: { project: param, schedule: schedule.uuid },
            })
          }
          empty={
            <EmptyState
              icon={<IconClock size={32} stroke={1.5} />}
              title={t`No schedules yet`}
              action={add}
            >
              {t`A schedule trains every night on the newest data, or checks a dataset every morning, without anybody asking.`}
            </EmptyState>
          }
        />
      )}
      {can("tasks:write") && (
        <ScheduleForm
          key={search.experiment}
          title={t`New schedule`}
          draftName={`schedule.${project.uuid}.${search.experiment ?? ""}`}
          initial={{
            ...EMPTY,
            kind: can("training:write") ? "run" : "report",
            subject: search.experiment ?? "",
          }}
          opened={search.create ?? false}
          onClose={() => onSearch({})}
          action={t`Create the schedule`}
          pending={create.isPending}
          error={create.error}
          onSubmit={({ name, kind, subject, timezone, missed, overlap }, cron, done) => {
            if (kind === "other") return;
            create.mutate(
              {
                name: name.trim(),
                cron,
                timezone,
                missed,
                overlap,
                enabled: true,
                action: writeAction(kind, subject, name.trim()),
              },
              {
                onSuccess: (schedule) => {
                  done();
                  void navigate({
                    to: "/p/$project/schedules/$schedule",
                    params: { project: param, schedule: schedule.uuid },
                  });
                },
              },
            );
          }}
        />
      )}
    </>
  );
}

function useColumns(): Column<Schedule>[] {
  const { t } = useLingui();
  const param = useProjectParam();
  const repetition = useRepetitionText();
  const actionText = useActionText();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (schedule) => (
        <AnchorLink
          to="/p/$project/schedules/$schedule"
          params={{ project: param, schedule: schedule.uuid }}
          className="truncate"
          c="inherit"
          fw={500}
        >
          {schedule.name}
        </AnchorLink>
      ),
    },
    {
      id: "enabled",
      header: t`Status`,
      width: 120,
      cell: (schedule) => <Status status={schedule.enabled ? "active" : "inactive"} />,
    },
    {
      id: "action",
      header: t`What it does`,
      cell: (schedule) => actionText(readAction(schedule.action)),
    },
    {
      id: "cron",
      header: t`When`,
      cell: (schedule) => (
        <span title={schedule.cron}>
          {repetition(schedule.cron)} <span className="secondary">{schedule.timezone}</span>
        </span>
      ),
    },
    {
      id: "next",
      header: t`Next time`,
      width: 130,
      cell: (schedule) =>
        schedule.next_at ? (
          <TimeUntil time={schedule.next_at} />
        ) : (
          <span className="secondary">–</span>
        ),
    },
    {
      id: "last",
      header: t`Last`,
      width: 210,
      cell: (schedule) =>
        schedule.last ? (
          <>
            <Status status={schedule.last.outcome} /> <TimeAgo time={schedule.last.fired_at} />
          </>
        ) : (
          <span className="secondary">{t`not yet`}</span>
        ),
    },
    {
      id: "owner",
      header: t`Owner`,
      width: 120,
      cell: (schedule) => <UserName user={schedule.owner} />,
    },
  ];
}
