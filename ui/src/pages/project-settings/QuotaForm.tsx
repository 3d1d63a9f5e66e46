import { useLingui } from "@lingui/react/macro";
import { Button, Group, NumberInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type FormEvent, useState } from "react";
import { useSetQuota } from "@/api/projectSettings";
import type { Project, Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";

const GB = 1_000_000_000;

interface Props {
  project: Project;
  usage: Schema<"ProjectUsageOut">;
}

/** Set the limits of a project; for administrators. */
export function QuotaForm({ project, usage }: Props) {
  const { t } = useLingui();
  const set = useSetQuota(project.uuid);
  const [storage, setStorage] = useState<number | string>(
    usage.storage.limit === null ? "" : usage.storage.limit / GB,
  );
  const [tasks, setTasks] = useState<number | string>(usage.tasks.limit ?? "");
  const [gpus, setGpus] = useState<number | string>(usage.gpus.limit ?? "");
  const [priority, setPriority] = useState<number | string>(usage.max_priority);
  const number = (value: number | string) => (typeof value === "number" ? value : null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const bytes = number(storage);
    set.mutate(
      {
        storage_bytes: bytes === null ? null : Math.round(bytes * GB),
        concurrent_tasks: number(tasks),
        gpus: number(gpus),
        max_priority: number(priority),
      },
      { onSuccess: () => notifications.show({ message: t`Saved` }) },
    );
  };
  return (
    <FormSection
      title={t`Set the limits`}
      description={t`An empty field means the default of the platform. What is above a new limit stays, but nothing can be added.`}
    >
      <form onSubmit={submit}>
        <NumberInput
          label={t`Storage, GB`}
          min={0}
          decimalScale={3}
          value={storage}
          onChange={setStorage}
          mb="sm"
        />
        <NumberInput
          label={t`Tasks that run at the same time`}
          min={0}
          allowDecimal={false}
          value={tasks}
          onChange={setTasks}
          mb="sm"
        />
        <NumberInput
          label={t`GPUs in use at the same time`}
          min={0}
          allowDecimal={false}
          value={gpus}
          onChange={setGpus}
          mb="sm"
        />
        <NumberInput
          label={t`Highest priority of its tasks`}
          description={t`Tasks of 9 and 10 make others pause.`}
          min={5}
          max={10}
          allowDecimal={false}
          value={priority}
          onChange={setPriority}
          mb="md"
        />
        <ErrorNotice error={set.error} />
        <Group>
          <Button type="submit" loading={set.isPending}>
            {t`Save`}
          </Button>
        </Group>
      </form>
    </FormSection>
  );
}
