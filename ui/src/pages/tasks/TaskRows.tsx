import { useLingui } from "@lingui/react/macro";
import { Progress } from "@mantine/core";
import type { Task } from "@/api/types";
import { formatDuration, formatPercent } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { Preview } from "@/design/preview/Preview";
import { Status } from "@/design/Status";
import { TimeAgo } from "@/design/values";
import { readProgress } from "./progress";
import classes from "./TaskRows.module.css";

interface Props {
  tasks: readonly Task[];
  /** What stands for the project in addresses. */
  project: string;
}

/** A few tasks with what they do now: for overviews, not for lists. */
export function TaskRows({ tasks, project }: Props) {
  return (
    <ul className={classes.rows}>
      {tasks.map((task) => (
        <li key={task.uuid} className={classes.row}>
          <Preview kind="task" uuid={task.uuid}>
            <AnchorLink
              to="/p/$project/tasks/$task"
              params={{ project, task: task.uuid }}
              className="truncate"
              c="inherit"
              fw={500}
            >
              {task.name}
            </AnchorLink>
          </Preview>
          <Status status={task.status} />
          <TaskProgress task={task} />
          <span className={classes.time}>
            <TimeAgo time={task.completed_at ?? task.started_at ?? task.created_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Show how far a task is and how long it will still take, unless it has ended or has no end. */
export function TaskProgress({
  task,
}: {
  task: Pick<Task, "status" | "type" | "progress" | "progress_detail" | "name">;
}) {
  const { t, i18n } = useLingui();
  if (!["running", "cancelling", "paused"].includes(task.status)) return <span />;
  if (task.type === "inference") return <span />;
  const { secondsLeft } = readProgress(task);
  return (
    <span className={classes.progress}>
      <Progress
        value={task.progress * 100}
        size="sm"
        w={80}
        aria-label={t`Progress of ${task.name}`}
      />
      <span className={classes.figure}>{formatPercent(task.progress, i18n.locale)}</span>
      {secondsLeft !== null && (
        <span className="secondary">{t`${formatDuration(secondsLeft, i18n.locale)} left`}</span>
      )}
    </span>
  );
}
