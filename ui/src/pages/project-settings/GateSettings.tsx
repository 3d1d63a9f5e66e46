import { useLingui } from "@lingui/react/macro";
import {
  ActionIcon,
  Button,
  Group,
  MultiSelect,
  NumberInput,
  Switch,
  Text,
  TextInput,
} from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { datasetNamesOptions, type Gate, gateOptions, useSetGate } from "@/api/projectSettings";
import { useCanHere } from "@/api/projects";
import type { Project } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { PageSkeleton } from "@/design/Skeletons";

type Limit = NonNullable<Gate["limits"]>[number];
type DatasetRef = NonNullable<Gate["evaluation"]>[number];

/** The rules that a dataset version must meet before anybody trains on it. */
export function GateSettings({ project }: { project: Project }) {
  const { data, error, refetch } = useQuery(gateOptions(project.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return <GateForm key={JSON.stringify(data)} project={project} gate={data} />;
}

function GateForm({ project, gate }: { project: Project; gate: Gate }) {
  const { t } = useLingui();
  const can = useCanHere();
  const writable = can("datasets:override") && project.status === "active";
  const set = useSetGate(project.uuid);
  const stored = {
    min_score: gate.min_score ?? null,
    forbid_errors: gate.forbid_errors,
    limits: gate.limits ?? [],
    evaluation: gate.evaluation ?? [],
    benchmarks: gate.benchmarks ?? [],
  };
  const [draft, setDraft] = useState(stored);
  const changed = JSON.stringify(draft) !== JSON.stringify(stored);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    set.mutate(
      { ...draft, limits: draft.limits.filter(({ finding }) => finding) },
      { onSuccess: () => notifications.show({ message: t`Saved` }) },
    );
  };
  return (
    <form onSubmit={submit}>
      <FormSection
        title={t`Quality`}
        description={t`A version that misses one of these can't be trained on, unless somebody overrides the gate with a reason that the audit keeps.`}
      >
        <NumberInput
          label={t`Lowest score`}
          description={t`Of the quality report, 0 to 100. Empty: any score passes.`}
          min={0}
          max={100}
          allowDecimal={false}
          readOnly={!writable}
          value={draft.min_score ?? ""}
          onChange={(value) =>
            setDraft({ ...draft, min_score: typeof value === "number" ? value : null })
          }
        />
        <Switch
          label={t`No findings of severity "error"`}
          disabled={!writable}
          checked={draft.forbid_errors}
          onChange={(event) => setDraft({ ...draft, forbid_errors: event.currentTarget.checked })}
        />
      </FormSection>
      <FormSection
        title={t`Limits of single findings`}
        description={t`The largest share of rows that may have a finding. personal_* means all whose code begins so.`}
      >
        <Limits
          limits={draft.limits}
          writable={writable}
          onChange={(limits) => setDraft({ ...draft, limits })}
        />
      </FormSection>
      <FormSection
        title={t`Kept apart from training`}
        description={t`Every report looks for rows of these datasets, so that evaluations stay honest.`}
      >
        <DatasetChoice
          label={t`Evaluation data`}
          project={project}
          value={draft.evaluation}
          writable={writable}
          onChange={(evaluation) => setDraft({ ...draft, evaluation })}
        />
        <DatasetChoice
          label={t`Benchmarks`}
          description={t`Not even a passage of them may be in the training data.`}
          project={project}
          value={draft.benchmarks}
          writable={writable}
          onChange={(benchmarks) => setDraft({ ...draft, benchmarks })}
        />
      </FormSection>
      <ErrorNotice error={set.error} />
      {writable ? (
        <Group mt="md">
          <Button type="submit" disabled={!changed} loading={set.isPending}>
            {t`Save`}
          </Button>
        </Group>
      ) : (
        <Text size="sm" c="dimmed">
          {t`You may read the rules, not change them.`}
        </Text>
      )}
    </form>
  );
}

interface LimitsProps {
  limits: Limit[];
  writable: boolean;
  onChange: (limits: Limit[]) => void;
}

function Limits({ limits, writable, onChange }: LimitsProps) {
  const { t } = useLingui();
  const change = (place: number, entry: Partial<Limit>) =>
    onChange(limits.map((limit, index) => (index === place ? { ...limit, ...entry } : limit)));
  return (
    <>
      {limits.length === 0 && (
        <Text size="sm" c="dimmed">
          {t`No limits.`}
        </Text>
      )}
      {limits.map((limit, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows are only added at the end
        <Group key={place} gap="sm" align="flex-end" wrap="nowrap">
          <TextInput
            label={t`Finding`}
            placeholder="near_duplicates"
            pattern="[a-z][a-z_]*\*?"
            readOnly={!writable}
            value={limit.finding}
            onChange={(event) => change(place, { finding: event.currentTarget.value })}
            flex={1}
          />
          <NumberInput
            label={t`At most, % of rows`}
            min={0}
            max={100}
            decimalScale={3}
            readOnly={!writable}
            value={Math.round(limit.max_share * 100_000) / 1000}
            onChange={(value) => change(place, { max_share: Number(value || 0) / 100 })}
            w={160}
          />
          {writable && (
            <ActionIcon
              size="lg"
              aria-label={t`Remove the limit of ${limit.finding}`}
              onClick={() => onChange(limits.filter((_, index) => index !== place))}
            >
              <IconX size={16} />
            </ActionIcon>
          )}
        </Group>
      ))}
      {writable && (
        <Group>
          <Button
            variant="default"
            leftSection={<IconPlus size={16} />}
            onClick={() => onChange([...limits, { finding: "", max_share: 0 }])}
          >
            {t`Add a limit`}
          </Button>
        </Group>
      )}
    </>
  );
}

interface ChoiceProps {
  label: string;
  description?: string;
  project: Project;
  value: DatasetRef[];
  writable: boolean;
  onChange: (value: DatasetRef[]) => void;
}

function DatasetChoice({ label, description, project, value, writable, onChange }: ChoiceProps) {
  const datasets = useQuery(datasetNamesOptions(project.uuid)).data?.items ?? [];
  const known = new Map(datasets.map((dataset) => [dataset.uuid, dataset.name]));
  // A dataset may be named by its uuid or by its name.
  const chosen = value.map(({ dataset }) => dataset);
  const options = [
    ...datasets
      .filter(({ name }) => !chosen.includes(name))
      .map(({ uuid, name }) => ({ value: uuid, label: name })),
    ...chosen
      .filter((dataset) => !known.has(dataset))
      .map((dataset) => ({ value: dataset, label: dataset })),
  ];
  return (
    <MultiSelect
      label={label}
      description={description}
      searchable
      readOnly={!writable}
      value={chosen}
      data={options}
      onChange={(next) =>
        onChange(
          next.map((dataset) => value.find((entry) => entry.dataset === dataset) ?? { dataset }),
        )
      }
    />
  );
}
