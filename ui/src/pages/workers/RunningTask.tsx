import { useQuery } from "@tanstack/react-query";
import { taskOptions } from "@/api/tasks";
import { AnchorLink } from "@/design/links";
import { Id } from "@/design/values";
import { TaskProgress } from "../tasks/TaskRows";
import classes from "./Workers.module.css";

/** A task that runs on a worker, with its progress. Who may not read it sees only its id. */
export function RunningTask({ uuid }: { uuid: string }) {
  const { data: task } = useQuery({ ...taskOptions(uuid), refetchInterval: 10_000, retry: false });
  if (!task?.project) return <Id value={uuid} />;
  return (
    <span className={classes.bar}>
      <AnchorLink
        className="truncate"
        to="/p/$project/tasks/$task"
        params={{ project: task.project, task: uuid }}
      >
        {task.name}
      </AnchorLink>
      <TaskProgress task={task} />
    </span>
  );
}
