import { useLingui } from "@lingui/react/macro";
import { Alert, Tabs } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useProject, useProjectParam } from "@/api/projects";
import { taskOptions } from "@/api/tasks";
import { Code } from "@/design/Code";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { Elapsed, Id, Num, TimeAgo } from "@/design/values";
import { useTypeLabel } from "./labels";
import { type TaskSearch, type TaskTab, tabOf } from "./search";
import { TaskActions } from "./TaskActions";
import { TaskCurves } from "./TaskCurves";
import { TaskEstimate } from "./TaskEstimate";
import { TaskFiles } from "./TaskFiles";
import { TaskLead } from "./TaskLead";
import { TaskLog } from "./TaskLog";
import { TaskResources } from "./TaskResources";
import { TaskProgress } from "./TaskRows";
import { TaskTimeline } from "./TaskTimeline";
import { TaskWaiting } from "./TaskWaiting";
import { useLiveTask } from "./useLiveTask";

interface Props {
  uuid: string;
  search: TaskSearch;
  onSearch: (search: TaskSearch) => void;
}

/** One task while it waits, runs, and after it has ended. */
export function TaskPage({ uuid, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const typeLabel = useTypeLabel();
  const task = useSuspenseQuery(taskOptions(uuid)).data;
  const ended = task.completed_at !== null;
  useLiveTask(uuid, ended);
  const tab = tabOf(task.type, search);
  return (
    <>
      <PageHeader
        title={task.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="tasks" to="/p/$project/tasks" params={{ project: param }}>
            {t`Tasks`}
          </AnchorLink>,
        ]}
        aside={<Status status={task.status} />}
        lead={<TaskLead task={task} />}
        actions={<TaskActions task={task} />}
      />
      <TaskWaiting task={task} />
      {task.error_message && (
        <Alert color="red" variant="outline" mb="md" title={t`Why it ended`}>
          {task.error_message}
        </Alert>
      )}
      <Figures
        items={[
          { label: t`Type`, value: typeLabel(task.type) },
          ...(ended || task.type === "inference"
            ? []
            : [{ label: t`Progress`, value: <TaskProgress task={task} /> }]),
          {
            label: t`Duration`,
            value: <Elapsed since={task.started_at} until={task.completed_at} />,
          },
          { label: t`Priority`, value: <Num value={task.priority} /> },
          { label: t`Author`, value: <UserName user={task.author} /> },
          { label: t`Created`, value: <TimeAgo time={task.created_at} /> },
          { label: t`Id`, value: <Id value={task.uuid} /> },
        ]}
      />
      <TaskEstimate task={task} />
      <Tabs
        value={tab}
        onChange={(value) =>
          onSearch({ ...search, line: undefined, tab: (value ?? undefined) as TaskTab | undefined })
        }
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="curves">{t`Curves`}</Tabs.Tab>
          <Tabs.Tab value="log">{t`Log`}</Tabs.Tab>
          <Tabs.Tab value="resources">{t`Resources`}</Tabs.Tab>
          <Tabs.Tab value="timeline">{t`Timeline`}</Tabs.Tab>
          <Tabs.Tab value="config">{t`Configuration`}</Tabs.Tab>
          <Tabs.Tab value="files">{t`Files`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="curves">
          <TaskCurves
            task={task}
            search={search}
            onSearch={(charts) => onSearch({ ...search, ...charts })}
          />
        </Tabs.Panel>
        <Tabs.Panel value="log">
          <TaskLog
            task={task}
            line={search.line}
            onLine={(line) => onSearch({ ...search, tab, line })}
          />
        </Tabs.Panel>
        <Tabs.Panel value="resources">
          <TaskResources task={task} />
        </Tabs.Panel>
        <Tabs.Panel value="timeline">
          <TaskTimeline task={task} />
        </Tabs.Panel>
        <Tabs.Panel value="config">
          <Code label={t`Configuration`}>{JSON.stringify(task.config, null, 2)}</Code>
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <TaskFiles task={task} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
