import { useLingui } from "@lingui/react/macro";
import { Alert, Button, Group, Text } from "@mantine/core";
import { IconAlertTriangle, IconFileImport, IconUpload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useImportModel, useRefreshModels } from "@/api/models";
import { useCanHere, useProjectParam } from "@/api/projects";
import { taskOptions } from "@/api/tasks";
import type { Model, TaskDetail } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ButtonLink } from "@/design/links";
import { TaskLink } from "@/design/refs";
import { Status } from "@/design/Status";
import { TaskLead } from "@/pages/tasks/TaskLead";
import { TaskProgress } from "@/pages/tasks/TaskRows";
import { useLiveTask } from "@/pages/tasks/useLiveTask";

/** How the import of a model stands, and what to do when it failed or waits for files. */
export function ImportState({ model }: { model: Model }) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const again = useImportModel();
  const task = useQuery({
    ...taskOptions(model.task ?? ""),
    enabled: model.task !== null && can("tasks:read"),
  });
  const mayImport = can("models:write") && model.project !== null;
  if (model.status === "failed")
    return (
      <Alert
        color="red"
        variant="outline"
        mb="md"
        icon={<IconAlertTriangle aria-hidden />}
        title={t`The import failed`}
      >
        <Text size="sm">{model.error}</Text>
        <ErrorNotice error={again.error} />
        <Group mt="sm" gap="sm">
          {mayImport && (
            <Button
              variant="default"
              leftSection={<IconFileImport size={15} />}
              loading={again.isPending}
              onClick={() => again.mutate(model.uuid)}
            >
              {t`Import again`}
            </Button>
          )}
          {task.data && <TaskLink uuid={task.data.uuid} name={t`Log of the import`} />}
        </Group>
      </Alert>
    );
  if (task.data) return <RunningImport task={task.data} />;
  if (model.task !== null) return null;
  return (
    <Alert
      color="gray"
      variant="outline"
      mb="md"
      icon={<IconUpload aria-hidden />}
      title={t`The files are not complete`}
    >
      <Text size="sm">
        {t`This model waits for its files. Continue the upload on this or another computer; files that have arrived are kept.`}
      </Text>
      {mayImport && (
        <ButtonLink
          mt="sm"
          variant="default"
          to="/p/$project/models/import"
          params={{ project }}
          search={{ kind: "directory", model: model.uuid }}
        >
          {t`Continue the upload`}
        </ButtonLink>
      )}
    </Alert>
  );
}

function RunningImport({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const refresh = useRefreshModels();
  const ended = task.completed_at !== null;
  useLiveTask(task.uuid, ended);
  // The end of the task is the moment at which the model changes.
  // biome-ignore lint/correctness/useExhaustiveDependencies: `refresh` is new at each rendering
  useEffect(() => {
    if (ended) void refresh();
  }, [ended]);
  return (
    <Group mb="md" gap="md" role="status">
      <Status status={task.status} />
      <TaskProgress task={task} />
      <Text size="sm" c="dimmed">
        <TaskLead task={task} />
      </Text>
      <TaskLink uuid={task.uuid} name={t`Task of the import`} />
    </Group>
  );
}
