import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, NumberInput, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { retentionOptions, useHoldsEverything, useSetKeeping } from "@/api/projectSettings";
import type { Project, Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { PageSkeleton } from "@/design/Skeletons";
import { Size } from "@/design/values";

type Retention = Schema<"RetentionOut">;

/** How long logs, measurements, checkpoints and the content of the bin are kept. */
export function Keeping({ project }: { project: Project }) {
  const { data, error, refetch } = useQuery(retentionOptions(project.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return <KeepingForm key={JSON.stringify(data)} project={project} retention={data} />;
}

function KeepingForm({ project, retention }: { project: Project; retention: Retention }) {
  const { t } = useLingui();
  const full = useHoldsEverything(project);
  const writable = full && project.status === "active";
  const save = useSetKeeping(project.uuid);
  const days = project.config.bin_days;
  const [bin, setBin] = useState<number | string>(typeof days === "number" ? days : "");
  const [logs, setLogs] = useState<number | string>(retention.log_days ?? "");
  const [telemetry, setTelemetry] = useState<number | string>(retention.telemetry_days ?? "");
  const [checkpoints, setCheckpoints] = useState<number | string>(retention.checkpoint_days ?? "");
  const [last, setLast] = useState<number | string>(retention.checkpoints_last);
  const [best, setBest] = useState<number | string>(retention.checkpoints_best);
  const number = (value: number | string) => (typeof value === "number" ? value : null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate(
      {
        bin_days: number(bin),
        retention: {
          log_days: number(logs),
          telemetry_days: number(telemetry),
          checkpoint_days: number(checkpoints),
          checkpoints_last: number(last) ?? retention.checkpoints_last,
          checkpoints_best: number(best) ?? retention.checkpoints_best,
        },
      },
      { onSuccess: () => notifications.show({ message: t`Saved` }) },
    );
  };
  const field = { min: 0, allowDecimal: false, readOnly: !writable } as const;
  return (
    <form onSubmit={submit}>
      <FormSection
        title={t`What ended tasks leave`}
        description={t`An empty field keeps it for ever. Metrics, results and the end of the log always stay.`}
      >
        <NumberInput {...field} label={t`Logs, days`} value={logs} onChange={setLogs} />
        <NumberInput
          {...field}
          label={t`Measurements of machines, days`}
          value={telemetry}
          onChange={setTelemetry}
        />
        <NumberInput
          {...field}
          label={t`Checkpoints, days`}
          value={checkpoints}
          onChange={setCheckpoints}
        />
        <NumberInput
          {...field}
          min={1}
          max={100}
          label={t`Last checkpoints that are kept while a task may go on`}
          value={last}
          onChange={setLast}
        />
        <NumberInput
          {...field}
          max={100}
          label={t`Best checkpoints that are kept after the end`}
          value={best}
          onChange={setBest}
        />
      </FormSection>
      <FormSection
        title={t`Bin`}
        description={t`How long deleted datasets and models can be restored. Empty: as the platform sets it. 0 deletes immediately.`}
      >
        <NumberInput
          {...field}
          max={3650}
          label={t`Days in the bin`}
          value={bin}
          onChange={setBin}
        />
      </FormSection>
      <FormSection
        title={t`Next clean-up`}
        description={t`What the rules that are saved now will free within the hour.`}
      >
        <Freed frees={retention.frees} />
      </FormSection>
      <ErrorNotice error={save.error} />
      {writable ? (
        <Group mt="md">
          <Button type="submit" loading={save.isPending}>
            {t`Save`}
          </Button>
        </Group>
      ) : (
        <Text size="sm" c="dimmed">
          {t`Only the owner, and members who may do everything, change what is kept.`}
        </Text>
      )}
    </form>
  );
}

function Freed({ frees }: { frees: Retention["frees"] }) {
  const { t } = useLingui();
  const parts = [
    { label: t`Logs`, count: frees.log_tasks, bytes: frees.log_bytes },
    { label: t`Measurements`, count: frees.telemetry_tasks, bytes: frees.telemetry_bytes },
    { label: t`Checkpoints`, count: frees.checkpoints, bytes: frees.checkpoint_bytes },
  ];
  return parts.map(({ label, count, bytes }) => (
    <Text key={label} size="sm" component="div">
      {label}: <Plural value={count} _0="nothing" one="# piece" other="# pieces" />
      {count > 0 && (
        <>
          , <Size bytes={bytes} />
        </>
      )}
    </Text>
  ));
}
