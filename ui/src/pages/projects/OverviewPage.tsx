import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Group, Title } from "@mantine/core";
import { IconListDetails } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { usageOptions, useCanHere, useProject, useProjectParam } from "@/api/projects";
import { recentTasksOptions, refreshTasks } from "@/api/tasks";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { UserName } from "@/design/refs";
import { TableSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { Num, Size, TimeAgo } from "@/design/values";
import { useLive } from "@/live/live";
import { TaskRows } from "@/pages/tasks/TaskRows";

/** What happens in a project now, and what happened last. */
export function OverviewPage() {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const queries = useQueryClient();
  const readsTasks = can("tasks:read");
  const tasks = useQuery({ ...recentTasksOptions(project.uuid, {}, 50), enabled: readsTasks });
  const usage = useQuery(usageOptions(project.uuid));
  const refresh = () => void refreshTasks(queries);
  useLive(readsTasks ? ["tasks"] : [], refresh, refresh);

  const items = tasks.data?.items ?? [];
  const active = items.filter(({ status }) =>
    ["running", "cancelling", "pending", "paused"].includes(status),
  );
  const ended = items.filter(({ completed_at }) => completed_at !== null).slice(0, 8);
  const running = active.filter(({ status }) => status === "running").length;
  const waiting = active.filter(({ status }) => status === "pending").length;
  return (
    <>
      <PageHeader
        title={project.name}
        aside={project.status === "archived" && <Status status="archived" />}
        lead={
          <>
            {tasks.data && (
              <Trans>
                <Plural
                  value={running}
                  _0="Nothing is running"
                  one="# task is running"
                  other="# tasks are running"
                />
                <Plural value={waiting} _0=", none waits" one=", # waits" other=", # wait" />.
              </Trans>
            )}{" "}
            {project.description}
          </>
        }
      />
      <Figures
        items={[
          { label: t`Storage`, value: <Size bytes={usage.data?.storage.total} /> },
          { label: t`Running tasks`, value: <Num value={usage.data?.tasks.used} /> },
          { label: t`GPUs in use`, value: <Num value={usage.data?.gpus.used} /> },
          { label: t`Owner`, value: <UserName user={project.owner} /> },
          { label: t`Created`, value: <TimeAgo time={project.created_at} /> },
        ]}
      />
      <ErrorNotice error={tasks.error} onRetry={() => void tasks.refetch()} />
      {readsTasks && tasks.isPending && <TableSkeleton rows={4} />}
      {active.length > 0 && (
        <section>
          <Title order={2} mt="lg" mb="sm">{t`Now`}</Title>
          <TaskRows tasks={active.slice(0, 8)} project={param} />
        </section>
      )}
      {ended.length > 0 && (
        <section>
          <Group justify="space-between" mt="lg" mb="sm">
            <Title order={2}>{t`Recently ended`}</Title>
            <AnchorLink to="/p/$project/tasks" params={{ project: param }} size="sm">
              {t`All tasks`}
            </AnchorLink>
          </Group>
          <TaskRows tasks={ended} project={param} />
        </section>
      )}
      {tasks.data && items.length === 0 && (
        <EmptyState
          icon={<IconListDetails size={32} stroke={1.5} />}
          title={t`Nothing has run here yet`}
        >
          {t`Upload a dataset, let it be checked, and fine-tune a model on it. Each step appears here while it runs.`}
        </EmptyState>
      )}
    </>
  );
}
