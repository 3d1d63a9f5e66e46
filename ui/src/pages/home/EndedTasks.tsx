import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import type { HomeTask } from "@/api/home";
import { projectParam } from "@/api/projects";
import { AnchorLink } from "@/design/links";
import { Preview } from "@/design/preview/Preview";
import { Status } from "@/design/Status";
import { TimeAgo } from "@/design/values";
import classes from "./HomePage.module.css";

const SHOWN = 8;

/** Tasks that have ended; the failed ones come first, with the reason. */
export function EndedTasks({ ended }: { ended: readonly HomeTask[] }) {
  const { t } = useLingui();
  const sorted = [...ended].sort(
    (a, b) =>
      Number(b.task.status === "failed") - Number(a.task.status === "failed") ||
      (b.task.completed_at ?? "").localeCompare(a.task.completed_at ?? ""),
  );
  const rest = sorted.length - SHOWN;
  return (
    <>
      <ul className={classes.ended}>
        {sorted.slice(0, SHOWN).map(({ task, project }) => (
          <li key={task.uuid}>
            <span className={classes.name}>
              <Preview kind="task" uuid={task.uuid}>
                <AnchorLink
                  to="/p/$project/tasks/$task"
                  params={{ project: projectParam(project), task: task.uuid }}
                  c="inherit"
                  fw={500}
                >
                  {task.name}
                </AnchorLink>
              </Preview>
              <span className="secondary"> {project.name}</span>
            </span>
            <Status status={task.status} />
            <span className="secondary">
              <TimeAgo time={task.completed_at} />
            </span>
            {task.status === "failed" && task.error_message && (
              <p className={classes.reason}>{task.error_message}</p>
            )}
          </li>
        ))}
      </ul>
      {rest > 0 && (
        <Text size="sm" c="dimmed" mt="xs">
          {t`and ${rest} more`}
        </Text>
      )}
    </>
  );
}
