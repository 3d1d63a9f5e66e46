import { Plural, useLingui } from "@lingui/react/macro";
import { Group, Switch } from "@mantine/core";
import { IconServer } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { workersOptions } from "@/api/tasks";
import type { Worker } from "@/api/types";
import { Code } from "@/design/Code";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { formatNumber } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";
import { Reserved } from "./Reserved";
import { RunningTask } from "./RunningTask";
import type { WorkersSearch } from "./search";
import { measured, workerStatus } from "./state";
import { WorkerActions } from "./WorkerActions";

interface Props {
  search: WorkersSearch;
  onSearch: (search: WorkersSearch) => void;
}

/** The machines that run tasks: what is free, and what runs where. */
export function WorkersPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const { data, error, refetch } = useQuery(workersOptions);
  const columns = useColumns();
  const all = data?.items;
  const alive = all?.filter((worker) => worker.alive) ?? [];
  const running = alive.reduce((sum, worker) => sum + worker.running.length, 0);
  return (
    <>
      <PageHeader
        title={t`Workers`}
        lead={
          all &&
          (alive.length === 0 ? (
            t`No worker is running: nothing that is submitted will start.`
          ) : (
            <>
              <Plural
                value={alive.length}
                one="# machine takes part; "
                other="# machines take part; "
              />
              <Plural value={running} one="# task runs." other="# tasks run." />
            </>
          ))
        }
      />
      <Group mb="md">
        <Switch
          size="xs"
          label={t`Show stopped ones`}
          checked={search.stopped ?? false}
          onChange={(event) => onSearch({ stopped: event.currentTarget.checked || undefined })}
        />
      </Group>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Workers`}
          columns={columns}
          rows={search.stopped ? all : all?.filter((worker) => !worker.stopped_at)}
          rowKey={(worker) => worker.uuid}
          onOpen={(worker) =>
            void navigate({ to: "/workers/$worker", params: { worker: worker.uuid } })
          }
          empty={
            <EmptyState
              icon={<IconServer size={32} stroke={1.5} />}
              title={t`No workers`}
              action={<Code label={t`Command that starts a worker`}>aiplatform worker</Code>}
            >
              {t`A worker is a program that runs tasks on a machine. Start one on each machine that has GPUs or cores to give.`}
            </EmptyState>
          }
        />
      )}
    </>
  );
}

function useColumns(): Column<Worker>[] {
  const { t, i18n } = useLingui();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (worker) => (
        <AnchorLink to="/workers/$worker" params={{ worker: worker.uuid }} c="inherit" fw={500}>
          {worker.name}
        </AnchorLink>
      ),
    },
    {
      id: "state",
      header: t`Status`,
      width: 120,
      cell: (worker) => <Status status={workerStatus(worker)} />,
    },
    {
      id: "cpus",
      header: t`CPU cores`,
      width: 170,
      cell: (worker) => (
        <Reserved label={t`CPU cores`} total={worker.cpus} free={worker.cpus_free} />
      ),
    },
    {
      id: "memory",
      header: t`Memory`,
      width: 210,
      cell: (worker) => (
        <Reserved label={t`Memory`} total={worker.memory_mb} free={worker.memory_mb_free} memory />
      ),
    },
    {
      id: "gpus",
      header: t`GPUs`,
      width: 150,
      cell: (worker) =>
        worker.devices.length === 0 ? (
          <span className="secondary">{t`none`}</span>
        ) : (
          <Reserved
            label={t`GPUs`}
            total={worker.devices.length}
            free={worker.devices.filter(({ task }) => task === null).length}
          />
        ),
    },
    {
      id: "load",
      header: t`Load`,
      width: 80,
      align: "right",
      cell: (worker) => {
        const percent = measured(worker, "cpu_percent");
        return percent === null || !worker.alive
          ? "–"
          : `${formatNumber(percent, i18n.locale, { maximumFractionDigits: 0 })} %`;
      },
    },
    {
      id: "running",
      header: t`Runs now`,
      cell: (worker) => {
        const [first] = worker.running;
        const more = worker.running.length - 1;
        if (!first) return <span className="secondary">{t`nothing`}</span>;
        return (
          <Group gap="sm" wrap="nowrap">
            <RunningTask uuid={first.task} />
            {more > 0 && <span className="secondary">{t`and ${more} more`}</span>}
          </Group>
        );
      },
    },
    {
      id: "heartbeat",
      header: t`Last heartbeat`,
      width: 130,
      optional: true,
      cell: (worker) => <TimeAgo time={worker.heartbeat_at} />,
    },
    {
      id: "actions",
      header: "",
      width: 170,
      align: "right",
      cell: (worker) => <WorkerActions worker={worker} compact />,
    },
  ];
}
