import { useLingui } from "@lingui/react/macro";
import { Button, Group, SegmentedControl, Select, Switch, TextInput } from "@mantine/core";
import { IconListDetails, IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { type TaskAction, useTaskAction } from "@/api/tasks";
import type { Task, TaskStatus, TaskType } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PreviewDrawer } from "@/design/preview/PreviewDrawer";
import { useStatusLabel } from "@/design/Status";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import { DataTable } from "@/design/table/DataTable";
import { SavedViews } from "@/design/views/SavedViews";
import { useTaskColumns } from "./columns";
import { useTypeLabel } from "./labels";
import { QueueView } from "./QueueView";
import { filterOf, STATUSES, type TaskListSearch, TYPES } from "./search";
import { useTaskList } from "./useTaskList";

interface Props {
  search: TaskListSearch;
  onSearch: (search: TaskListSearch) => void;
}

/** The project's tasks: a list, newest first, or the queue in its order. */
export function TaskListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  return (
    <>
      <PageHeader
        title={t`Tasks`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`Everything that runs on workers: trainings, evaluations, reports, imports and deployments.`}
      />
      <SegmentedControl
        size="xs"
        mb="md"
        aria-label={t`View`}
        value={search.view ?? "list"}
        onChange={(view) => onSearch(view === "queue" ? { view } : {})}
        data={[
          { value: "list", label: t`All tasks` },
          { value: "queue", label: t`Queue` },
        ]}
      />
      {search.view === "queue" ? <QueueView /> : <TaskTable search={search} onSearch={onSearch} />}
    </>
  );
}

/** All tasks, newest first, with what waits and why. */
function TaskTable({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const statusLabel = useStatusLabel();
  const typeLabel = useTypeLabel();
  const columns = useTaskColumns();
  const shown = search.columns;
  const filter = filterOf(search);
  const list = useTaskList(project.uuid, filter);
  const rows = list.data?.pages.flatMap((page) => page.items);
  const filtered = Boolean(filter.status || filter.type || filter.name || filter.dead);
  return (
    <>
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={240}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Exact name`}
          aria-label={t`Exact name`}
          value={search.name ?? ""}
          onChange={(event) =>
            onSearch({ ...search, name: event.currentTarget.value || undefined })
          }
        />
        <Select
          size="xs"
          w={140}
          clearable
          placeholder={t`Any status`}
          aria-label={t`Status`}
          value={search.status ?? null}
          onChange={(value) => onSearch({ ...search, status: (value as TaskStatus) ?? undefined })}
          data={STATUSES.map((value) => ({ value, label: statusLabel(value) }))}
        />
        <Select
          size="xs"
          w={150}
          clearable
          placeholder={t`Any type`}
          aria-label={t`Type`}
          value={search.type ?? null}
          onChange={(value) => onSearch({ ...search, type: (value as TaskType) ?? undefined })}
          data={TYPES.map((value) => ({ value, label: typeLabel(value) }))}
        />
        <Switch
          size="xs"
          label={t`Failed permanently, not retried`}
          checked={search.dead ?? false}
          onChange={(event) =>
            onSearch({ ...search, dead: event.currentTarget.checked || undefined })
          }
        />
        <Group ml="auto" gap="xs">
          <SavedViews list="tasks" search={search} onSearch={onSearch} />
          <ColumnMenu
            columns={columns}
            shown={shown}
            onChange={(chosen) => onSearch({ ...search, columns: chosen })}
          />
        </Group>
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Tasks`}
          columns={columns}
          shown={shown}
          rows={rows}
          rowKey={(task) => task.uuid}
          onPeek={(task) => onSearch({ ...search, preview: task.uuid })}
          onOpen={(task) =>
            void navigate({
              to: "/p/$project/tasks/$task",
              params: { project: param, task: task.uuid },
            })
          }
          bulk={
            can("tasks:write")
              ? (chosen, clear) => <Bulk tasks={chosen} onDone={clear} />
              : undefined
          }
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconListDetails size={32} stroke={1.5} />}
              title={filtered ? t`No task matches these filters` : t`No tasks yet`}
              action={
                filtered ? (
                  <Button variant="default" onClick={() => onSearch({ columns: shown })}>
                    {t`Clear the filters`}
                  </Button>
                ) : undefined
              }
            >
              {filtered
                ? t`Loosen the filters to see other tasks of this project.`
                : t`A task is one piece of work in the queue. Uploading a dataset makes the first one: its quality report.`}
            </EmptyState>
          }
        />
      )}
      <PreviewDrawer
        kind="task"
        uuid={search.preview}
        onClose={() => onSearch({ ...search, preview: undefined })}
      />
    </>
  );
}

const OFFERED: Record<TaskAction, readonly TaskStatus[]> = {
  cancel: ["pending", "running", "paused"],
  pause: ["pending", "running"],
  resume: ["paused"],
  retry: ["failed", "cancelled"],
};

/** What can be done with all of the selected tasks. */
function Bulk({ tasks, onDone }: { tasks: Task[]; onDone: () => void }) {
  const { t } = useLingui();
  const act = useTaskAction();
  const labels: Record<TaskAction, string> = {
    cancel: t`Cancel`,
    pause: t`Pause`,
    resume: t`Resume`,
    retry: t`Retry`,
  };
  const run = async (action: TaskAction) => {
    for (const task of tasks)
      await act.mutateAsync({ task: task.uuid, action }).catch(() => undefined);
    onDone();
  };
  const fits = (Object.keys(OFFERED) as TaskAction[]).filter((action) =>
    tasks.every((task) => OFFERED[action].includes(task.status)),
  );
  return (
    <>
      {fits.map((action) => (
        <Button
          key={action}
          variant="default"
          loading={act.isPending}
          onClick={() => void run(action)}
        >
          {labels[action]}
        </Button>
      ))}
    </>
  );
}
