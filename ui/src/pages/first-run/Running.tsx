import { useLingui } from "@lingui/react/macro";
import { Alert, Group, Progress, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { TaskDetail } from "@/api/types";
import { formatDuration, formatPercent } from "@/design/format";
import { Status } from "@/design/Status";
import { Elapsed } from "@/design/values";
import { readProgress } from "@/pages/tasks/progress";

interface Props {
  task: TaskDetail;
  /** What is being done, in a few words. */
  label: string;
  /** The button that tries again, shown when the task has failed. */
  again?: ReactNode;
}

/** A task of the first run: how far it is, since when, how long still, or why it failed. */
export function Running({ task, label, again }: Props) {
  const { t, i18n } = useLingui();
  if (task.status === "completed") return null;
  if (task.completed_at !== null)
    return (
      <Alert color="red" variant="outline" title={label}>
        <Text size="sm" mb={again ? "sm" : 0}>
          {task.error_message ?? t`It was cancelled.`}
        </Text>
        {again}
      </Alert>
    );
  const { secondsLeft, step, steps } = readProgress(task);
  return (
    <div role="status">
      <Group gap="sm" mb={6}>
        <Text size="sm">{label}</Text>
        <Status status={task.status} />
        <span className="secondary">
          <Elapsed since={task.started_at ?? task.created_at} until={null} />
        </span>
      </Group>
      <Group gap="sm" wrap="nowrap">
        <Progress value={task.progress * 100} flex={1} maw={360} size="sm" aria-label={label} />
        <span className="secondary">
          {formatPercent(task.progress, i18n.locale)}
          {step !== null && steps !== null && ` · ${t`step ${step} of ${steps}`}`}
          {secondsLeft !== null && ` · ${t`${formatDuration(secondsLeft, i18n.locale)} left`}`}
        </span>
      </Group>
      {task.status === "pending" && (
        <Text size="sm" c="dimmed" mt={6}>
          {t`It waits until a worker is free.`}
        </Text>
      )}
    </div>
  );
}
