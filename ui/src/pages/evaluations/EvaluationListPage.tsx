import { useLingui } from "@lingui/react/macro";
import { Button, Group, Select } from "@mantine/core";
import { IconPlus, IconScale } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import type { Task, TaskStatus } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { DatasetLink, ModelLink, UserName } from "@/design/refs";
import { Status, useStatusLabel } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { Elapsed, TimeAgo } from "@/design/values";
import { STATUSES } from "@/pages/tasks/search";
import { TaskProgress } from "@/pages/tasks/TaskRows";
import { useTaskList } from "@/pages/tasks/useTaskList";
import { NewEvaluation } from "./NewEvaluation";
import type { EvaluationListSearch } from "./search";
import { useSubjects } from "./useSubjects";

interface Props {
  search: EvaluationListSearch;
  onSearch: (search: EvaluationListSearch) => void;
}

/** The project's evaluations, newest first. */
export function EvaluationListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const statusLabel = useStatusLabel();
  const columns = useColumns();
  const list = useTaskList(project.uuid, { type: "evaluation", status: search.status });
  const rows = list.data?.pages.flatMap((page) => page.items);
  const create = can("tasks:write") && (
    <Button
      leftSection={<IconPlus size={16} />}
      onClick={() => onSearch({ ...search, create: true })}
    >
      {t`New evaluation`}
    </Button>
  );
  return (
    <>
      <PageHeader
        title={t`Evaluations`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`A tuned model beside its base model on the same held-out rows: loss, perplexity, and their answers.`}
        actions={create}
      />
      <Group mb="md" gap="sm">
        <Select
          size="xs"
          w={160}
          clearable
          placeholder={t`Any status`}
          aria-label={t`Status`}
          value={search.status ?? null}
          onChange={(value) => onSearch({ ...search, status: (value as TaskStatus) ?? undefined })}
          data={STATUSES.map((value) => ({ value, label: statusLabel(value) }))}
        />
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Evaluations`}
          columns={columns}
          rows={rows}
          rowKey={(task) => task.uuid}
          onOpen={(task) =>
            void navigate({
              to: "/p/$project/evaluations/$evaluation",
              params: { project: param, evaluation: task.uuid },
            })
          }
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconScale size={32} stroke={1.5} />}
              title={search.status ? t`No evaluation has this status` : t`No evaluations yet`}
              action={create}
            >
              {t`An evaluation shows whether tuning has helped: on rows that the model has not seen, compared with the model it was made from.`}
            </EmptyState>
          }
        />
      )}
      {can("tasks:write") && (
        <NewEvaluation
          opened={search.create ?? false}
          model={search.model}
          onClose={() => onSearch({ status: search.status })}
        />
      )}
    </>
  );
}

function useColumns(): Column<Task>[] {
  const { t } = useLingui();
  const param = useProjectParam();
  const subjects = useSubjects();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (task) => (
        <AnchorLink
          to="/p/$project/evaluations/$evaluation"
          params={{ project: param, evaluation: task.uuid }}
          className="truncate"
          c="inherit"
          fw={500}
        >
          {task.name}
        </AnchorLink>
      ),
    },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (task) => <Status status={task.status} />,
    },
    {
      id: "model",
      header: t`Model`,
      cell: (task) => {
        const model = subjects.model(task.config);
        return model ? <ModelLink {...model} /> : <span className="secondary">–</span>;
      },
    },
    {
      id: "dataset",
      header: t`Data`,
      cell: (task) => {
        const dataset = subjects.dataset(task.config);
        return dataset ? <DatasetLink {...dataset} /> : <span className="secondary">–</span>;
      },
    },
    {
      id: "progress",
      header: t`Progress`,
      width: 220,
      cell: (task) =>
        task.error_message ? (
          <span className="secondary" title={task.error_message}>
            {task.error_message}
          </span>
        ) : (
          <TaskProgress task={task} />
        ),
    },
    {
      id: "duration",
      header: t`Duration`,
      width: 110,
      align: "right",
      cell: (task) => <Elapsed since={task.started_at} until={task.completed_at} />,
    },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: (task) => <UserName user={task.author} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      cell: (task) => <TimeAgo time={task.created_at} />,
    },
  ];
}
