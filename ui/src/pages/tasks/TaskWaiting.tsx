import { Plural, useLingui } from "@lingui/react/macro";
import { Alert, Group, Text } from "@mantine/core";
import { IconClock } from "@tabler/icons-react";
import type { TaskDetail } from "@/api/types";
import { TaskLink } from "@/design/refs";
import { Status } from "@/design/Status";
import { TimeUntil } from "@/design/values";
import { useReason } from "./useReason";

/** Why a task waits: the reason, what is before it, and what has to end first. */
export function TaskWaiting({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const reason = useReason();
  const { waiting } = task;
  if (!waiting) return null;
  const ahead = waiting.ahead ?? 0;
  return (
    <Alert
      variant="outline"
      color="gray"
      mb="md"
      icon={<IconClock aria-hidden />}
      title={t`Why it waits`}
    >
      <Text size="sm">{reason(task)}</Text>
      {ahead > 0 && (
        <Text size="sm">
          <Plural
            value={ahead}
            one="# task is before it in the queue."
            other="# tasks are before it in the queue."
          />
        </Text>
      )}
      {waiting.not_before && (
        <Text size="sm" component="div">
          {t`It starts at the earliest`} <TimeUntil time={waiting.not_before} />
        </Text>
      )}
      {task.after.map((need) => (
        <Group key={need.task} gap="sm">
          <Text size="sm">{t`Waits for`}</Text>
          <TaskLink uuid={need.task} name={need.name} />
          <Status status={need.status} />
        </Group>
      ))}
    </Alert>
  );
}
