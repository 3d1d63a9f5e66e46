import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Menu, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import {
  IconArrowBarToUp,
  IconDots,
  IconPlayerPause,
  IconPlayerPlay,
  IconRefresh,
  IconSquare,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { ProblemError } from "@/api/problem";
import { useCanHere, useProjectParam } from "@/api/projects";
import { type TaskAction, useMoveTask, useSetPriority, useTaskAction } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";

const PRIORITIES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** What one can do with a task in its present state. */
export function TaskActions({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const navigate = useNavigate();
  const act = useTaskAction();
  const move = useMoveTask();
  const setPriority = useSetPriority();
  if (!can("tasks:write")) return null;
  const complain = (error: unknown) =>
    notifications.show({
      color: "red",
      title: error instanceof ProblemError ? error.problem.title : t`This did not work`,
      message:
        error instanceof ProblemError ? error.problem.detail : t`The platform does not answer.`,
    });
  const run = (action: TaskAction) =>
    act.mutate(
      { task: task.uuid, action },
      {
        onError: complain,
        onSuccess: (result) => {
          if (action === "retry" && result.uuid !== task.uuid)
            void navigate({
              to: "/p/$project/tasks/$task",
              params: { project, task: result.uuid },
            });
        },
      },
    );
  const waiting = task.status === "pending";
  const running = task.status === "running";
  const pausable = (waiting || running) && task.type !== "inference" && task.type !== "external";
  return (
    <>
      {pausable && (
        <Button
          variant="default"
          leftSection={<IconPlayerPause size={15} />}
          disabled={task.stop_wanted !== null}
          loading={act.isPending && act.variables.action === "pause"}
          onClick={() => run("pause")}
        >
          {t`Pause`}
        </Button>
      )}
      {task.status === "paused" && (
        <Button
          leftSection={<IconPlayerPlay size={15} />}
          loading={act.isPending && act.variables.action === "resume"}
          onClick={() => run("resume")}
        >
          {t`Resume`}
        </Button>
      )}
      {(task.status === "failed" || task.status === "cancelled") && (
        <Button
          leftSection={<IconRefresh size={15} />}
          loading={act.isPending && act.variables.action === "retry"}
          onClick={() => run("retry")}
        >
          {t`Retry`}
        </Button>
      )}
      {(waiting || running || task.status === "paused") && (
        <Button
          variant="default"
          leftSection={<IconSquare size={15} />}
          loading={act.isPending && act.variables.action === "cancel"}
          onClick={() => run("cancel")}
        >
          {t`Cancel`}
        </Button>
      )}
      {waiting && (
        <Menu>
          <Menu.Target>
            <Tooltip label={t`Place in the queue`}>
              <ActionIcon size="lg" aria-label={t`Place in the queue`}>
                <IconDots size={18} />
              </ActionIcon>
            </Tooltip>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              leftSection={<IconArrowBarToUp size={16} />}
              onClick={() => move.mutate({ task: task.uuid, before: null }, { onError: complain })}
            >
              {t`Move to the front`}
            </Menu.Item>
            <Menu.Label>{t`Priority`}</Menu.Label>
            {PRIORITIES.map((priority) => (
              <Menu.Item
                key={priority}
                fw={priority === task.priority ? 600 : undefined}
                onClick={() =>
                  setPriority.mutate({ task: task.uuid, priority }, { onError: complain })
                }
              >
                {priority}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      )}
    </>
  );
}
