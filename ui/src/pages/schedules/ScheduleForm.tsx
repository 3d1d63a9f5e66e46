import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Radio, Select, Stack, Switch, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { datasetChoicesOptions } from "@/api/choices";
import { experimentChoicesOptions } from "@/api/experiments";
import { useCanHere, useProject } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useDraft } from "@/design/useDraft";
import { type Frequency, toCron } from "./cron";
import { weekdayNames } from "./useRepetition";

export interface ScheduleDraft {
  name: string;
  kind: "run" | "report" | "other";
  subject: string;
  frequency: Frequency;
  time: string;
  weekday: number;
  cron: string;
  timezone: string;
  missed: "run_once" | "skip";
  overlap: "skip" | "allow";
}

export const EMPTY: ScheduleDraft = {
  name: "",
  kind: "run",
  subject: "",
  frequency: "daily",
  time: "02:00",
  weekday: 1,
  cron: "0 2 * * *",
  timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC",
  missed: "run_once",
  overlap: "skip",
};

interface Props {
  title: string;
  /** Under which name the unfinished form is kept. */
  draftName: string;
  initial: ScheduleDraft;
  opened: boolean;
  onClose: () => void;
  onSubmit: (draft: ScheduleDraft, cron: string, done: () => void) => void;
  action: string;
  pending: boolean;
  error: unknown;
}

/** What is done, when, and what happens if a time could not be kept. */
export function ScheduleForm(props: Props) {
  const { title, opened, onClose, onSubmit, action, pending, error } = props;
  const { t, i18n } = useLingui();
  const can = useCanHere();
  const [draft, setDraft, clear] = useDraft(props.draftName, props.initial);
  const change = (part: Partial<ScheduleDraft>) => setDraft({ ...draft, ...part });
  const cron = draft.frequency === "own" ? draft.cron.trim() : toCron(draft);
  const weekdays = weekdayNames(i18n.locale);
  const ready =
    draft.name.trim() !== "" &&
    cron !== null &&
    cron.split(/\s+/).length === 5 &&
    (draft.kind === "other" || draft.subject !== "");
  return (
    <Modal opened={opened} onClose={onClose} title={title} size="lg">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (cron !== null) onSubmit(draft, cron, clear);
        }}
      >
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Name`}
            description={t`Letters, digits, points, dashes and underscores.`}
            withAsterisk
            maxLength={100}
            value={draft.name}
            onChange={(event) => change({ name: event.currentTarget.value })}
          />
          {draft.kind !== "other" && (
            <Radio.Group
              label={t`What it does`}
              value={draft.kind}
              onChange={(kind) => change({ kind: kind as ScheduleDraft["kind"], subject: "" })}
            >
              <Group mt={4}>
                {can("training:write") && <Radio value="run" label={t`Run an experiment`} />}
                <Radio value="report" label={t`Make a quality report`} />
              </Group>
            </Radio.Group>
          )}
          <Subject draft={draft} onChange={(subject) => change({ subject })} />
          <Group gap="sm" align="flex-end">
            <Select
              w={190}
              label={t`How often`}
              value={draft.frequency}
              onChange={(value) =>
                change({ frequency: (value ?? "daily") as Frequency, cron: cron ?? draft.cron })
              }
              data={[
                { value: "hourly", label: t`Every hour` },
                { value: "daily", label: t`Every day` },
                { value: "weekdays", label: t`Monday to Friday` },
                { value: "weekly", label: t`Every week` },
                { value: "own", label: t`Cron expression` },
              ]}
            />
            {draft.frequency === "weekly" && (
              <Select
                w={150}
                label={t`Weekday`}
                value={String(draft.weekday)}
                onChange={(value) => change({ weekday: Number(value) })}
                data={weekdays.map((label, day) => ({ value: String(day), label }))}
              />
            )}
            {draft.frequency === "own" ? (
              <TextInput
                w={220}
                label={t`Minute, hour, day, month, weekday`}
                className="mono"
                value={draft.cron}
                onChange={(event) => change({ cron: event.currentTarget.value })}
              />
            ) : (
              <TextInput
                w={120}
                type="time"
                label={t`Time`}
                value={draft.time}
                onChange={(event) => change({ time: event.currentTarget.value })}
              />
            )}
            <Select
              w={220}
              label={t`Time zone`}
              searchable
              value={draft.timezone}
              onChange={(value) => change({ timezone: value ?? "UTC" })}
              data={timeZones(draft.timezone)}
            />
          </Group>
          <Switch
            label={t`Catch up once if the platform was not running`}
            checked={draft.missed === "run_once"}
            onChange={(event) =>
              change({ missed: event.currentTarget.checked ? "run_once" : "skip" })
            }
          />
          <Switch
            label={t`Start another one while the last has not ended`}
            checked={draft.overlap === "allow"}
            onChange={(event) =>
              change({ overlap: event.currentTarget.checked ? "allow" : "skip" })
            }
          />
          <ErrorNotice error={error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>{t`Close`}</Button>
            <Button type="submit" loading={pending} disabled={!ready}>
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Subject({
  draft,
  onChange,
}: {
  draft: ScheduleDraft;
  onChange: (subject: string) => void;
}) {
  const { t } = useLingui();
  const project = useProject();
  const run = draft.kind === "run";
  const can = useCanHere();
  const experiments = useQuery({
    ...experimentChoicesOptions(project.uuid),
    enabled: run && can("training:read"),
  });
  const datasets = useQuery({
    ...datasetChoicesOptions(project.uuid),
    enabled: draft.kind === "report" && can("datasets:read"),
  });
  if (draft.kind === "other") return null;
  const items = (run ? experiments.data?.items : datasets.data?.items) ?? [];
  return (
    <Select
      label={run ? t`Experiment` : t`Dataset`}
      description={
        run
          ? t`With the configuration that it has at that time.`
          : t`Of the version that is current at that time.`
      }
      withAsterisk
      searchable
      placeholder={run ? t`Choose an experiment` : t`Choose a dataset`}
      value={draft.subject || null}
      onChange={(value) => onChange(value ?? "")}
      data={items.map((item) => ({ value: item.uuid, label: item.name }))}
    />
  );
}

/** Return the time zones that the browser knows, with the one that is chosen. */
function timeZones(chosen: string): string[] {
  return [...new Set(["UTC", chosen, ...Intl.supportedValuesOf("timeZone")])];
}
