import { useLingui } from "@lingui/react/macro";
import { useProjectParam } from "@/api/projects";
import type { Task } from "@/api/types";
import { AnchorLink } from "@/design/links";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import type { Column } from "@/design/table/types";
import { Elapsed, Id, Num, TimeAgo } from "@/design/values";
import { useTypeLabel } from "./labels";
import { TaskProgress } from "./TaskRows";
import { useReason } from "./useReason";

/** Return the columns of the list of tasks. */
export function useTaskColumns(): Column<Task>[] {
  const { t } = useLingui();
  const project = useProjectParam();
  const typeLabel = useTypeLabel();
  const reason = useReason();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (task) => (
        <AnchorLink
          to="/p/$project/tasks/$task"
          params={{ project, task: task.uuid }}
          c="inherit"
          fw={500}
        >
          {task.name}
        </AnchorLink>
      ),
    },
    { id: "type", header: t`Type`, width: 130, cell: (task) => typeLabel(task.type) },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (task) => <Status status={task.status} />,
    },
    {
      id: "progress",
      header: t`Progress`,
      width: 240,
      cell: (task) =>
        task.waiting ? (
          <span className="secondary" title={reason(task)}>
            {reason(task)}
          </span>
        ) : task.error_message ? (
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
      width: 120,
      align: "right",
      cell: (task) => <Elapsed since={task.started_at} until={task.completed_at} />,
    },
    {
      id: "priority",
      header: t`Priority`,
      width: 80,
      align: "right",
      cell: (task) => <Num value={task.priority} />,
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
    {
      id: "started",
      header: t`Started`,
      optional: true,
      cell: (task) => <TimeAgo time={task.started_at} />,
    },
    { id: "worker", header: t`Worker`, optional: true, cell: (task) => task.worker },
    { id: "queue", header: t`Queue`, optional: true, cell: (task) => task.queue },
    {
      id: "attempt",
      header: t`Attempt`,
      optional: true,
      align: "right",
      cell: (task) => <Num value={task.attempt} />,
    },
    { id: "id", header: t`Id`, optional: true, cell: (task) => <Id value={task.uuid} /> },
  ];
}
