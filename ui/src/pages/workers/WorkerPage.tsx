import { Plural, useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import type { Worker } from "@/api/types";
import { workerOptions } from "@/api/workers";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { Num, Size, TimeAgo } from "@/design/values";
import { useTypeLabel } from "../tasks/labels";
import { Reserved } from "./Reserved";
import { RunningTask } from "./RunningTask";
import type { WorkerSearch } from "./search";
import { workerStatus } from "./state";
import { WorkerActions } from "./WorkerActions";
import { WorkerLoad } from "./WorkerLoad";
import classes from "./Workers.module.css";

interface Props {
  uuid: string;
  search: WorkerSearch;
  onSearch: (search: WorkerSearch) => void;
}

/** One machine: what is reserved, what runs on which slot, and how loaded it is. */
export function WorkerPage({ uuid, search, onSearch }: Props) {
  const { t } = useLingui();
  const worker = useSuspenseQuery(workerOptions(uuid)).data;
  return (
    <>
      <PageHeader
        title={worker.name}
        crumbs={[
          <AnchorLink key="workers" to="/workers">
            {t`Workers`}
          </AnchorLink>,
        ]}
        aside={<Status status={workerStatus(worker)} />}
        lead={<Lead worker={worker} />}
        actions={<WorkerActions worker={worker} />}
      />
      <Figures
        items={[
          {
            label: t`CPU cores reserved`,
            value: <Reserved label={t`CPU cores`} total={worker.cpus} free={worker.cpus_free} />,
          },
          {
            label: t`Memory reserved`,
            value: (
              <Reserved
                label={t`Memory`}
                total={worker.memory_mb}
                free={worker.memory_mb_free}
                memory
              />
            ),
          },
          { label: t`Machine`, value: worker.hostname },
          { label: t`Version`, value: worker.version },
          { label: t`Started`, value: <TimeAgo time={worker.started_at} /> },
          { label: t`Last heartbeat`, value: <TimeAgo time={worker.heartbeat_at} /> },
        ]}
      />
      <Text size="sm" mb="md">
        {t`Queues`}: {worker.queues.join(", ") || "–"} · {t`Labels`}:{" "}
        {worker.labels.join(", ") || "–"}
      </Text>
      {worker.devices.length > 0 && <Slots worker={worker} />}
      <Running worker={worker} />
      <WorkerLoad
        uuid={uuid}
        range={search.range ?? "1h"}
        onRange={(range) => onSearch({ range })}
      />
    </>
  );
}

function Lead({ worker }: { worker: Worker }) {
  const { t } = useLingui();
  const count = worker.running.length;
  if (!worker.alive)
    return worker.stopped_at
      ? t`It was stopped, and runs nothing.`
      : t`It sends no heartbeats. Its tasks start again on other workers.`;
  if (worker.state === "draining" && count === 0)
    return t`It is empty: you can restart the machine, and nothing is lost.`;
  if (worker.state !== "active")
    return (
      <Plural
        value={count}
        one="It accepts no more tasks; # task still runs."
        other="It accepts no more tasks; # tasks still run."
      />
    );
  return <Plural value={count} _0="Ready, runs nothing." one="# task runs." other="# tasks run." />;
}

function Slots({ worker }: { worker: Worker }) {
  const { t } = useLingui();
  return (
    <section>
      <Title order={2} mb="sm">{t`GPU slots`}</Title>
      <ul className={classes.slots}>
        {worker.devices.map((device, place) => (
          // Slots of one GPU share its id.
          // biome-ignore lint/suspicious/noArrayIndexKey: the slots of a worker keep their places
          <li key={place} className={classes.slot}>
            <Text size="sm" fw={600} className="truncate" title={device.id}>
              {device.name}
            </Text>
            <Text size="sm" c="dimmed" component="div">
              <Size bytes={device.memory_mb * 1024 * 1024} />
            </Text>
            {device.task ? <RunningTask uuid={device.task} /> : <Text size="sm">{t`free`}</Text>}
          </li>
        ))}
      </ul>
    </section>
  );
}

type RunningEntry = Worker["running"][number];

function Running({ worker }: { worker: Worker }) {
  const { t } = useLingui();
  const typeLabel = useTypeLabel();
  const columns: Column<RunningEntry>[] = [
    {
      id: "task",
      header: t`Task`,
      primary: true,
      cell: (entry) => <RunningTask uuid={entry.task} />,
    },
    { id: "type", header: t`Type`, width: 140, cell: (entry) => typeLabel(entry.type) },
    {
      id: "cpus",
      header: t`CPU cores`,
      width: 110,
      align: "right",
      cell: (entry) => <Num value={entry.cpus} />,
    },
    {
      id: "memory",
      header: t`Memory`,
      width: 110,
      align: "right",
      cell: (entry) => <Size bytes={entry.memory_mb * 1024 * 1024} />,
    },
    {
      id: "gpus",
      header: t`GPUs`,
      width: 80,
      align: "right",
      cell: (entry) => <Num value={entry.gpus} />,
    },
    {
      id: "attempt",
      header: t`Attempt`,
      width: 90,
      align: "right",
      cell: (entry) => <Num value={entry.attempt} />,
    },
    {
      id: "since",
      header: t`Since`,
      width: 120,
      align: "right",
      cell: (entry) => <TimeAgo time={entry.since} />,
    },
  ];
  return (
    <section>
      <Title order={2} my="md">{t`Runs now`}</Title>
      <DataTable
        label={t`Runs now`}
        columns={columns}
        rows={worker.running}
        rowKey={(entry) => `${entry.task} ${entry.attempt}`}
        empty={
          <Text size="sm" c="dimmed">
            {t`Nothing.`}
          </Text>
        }
      />
    </section>
  );
}
