import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, NumberInput, Select, Switch, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { experimentChoicesOptions } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { useCreateSweep } from "@/api/sweeps";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { useDraft } from "@/design/useDraft";
import { ParameterRows } from "./ParameterRows";
import type { NewSweepSearch } from "./search";
import { countGrid, isComplete, type ParameterDraft, SUGGESTED, toParameters } from "./spec";

interface SweepDraft {
  name: string;
  experiment: string;
  parameters: ParameterDraft[];
  method: "grid" | "random" | "tpe";
  objective: string;
  direction: "minimize" | "maximize";
  trials: number;
  parallelism: number;
  pruning: boolean;
}

/** A search for good settings of an experiment. */
export function NewSweepPage({ search }: { search: NewSweepSearch }) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const create = useCreateSweep(project.uuid);
  const experiments = useQuery(experimentChoicesOptions(project.uuid)).data?.items ?? [];
  const [draft, setDraft, clear] = useDraft<SweepDraft>(
    `sweep.${project.uuid}.${search.experiment ?? ""}`,
    {
      name: "",
      experiment: search.experiment ?? "",
      parameters: [...SUGGESTED],
      method: "tpe",
      objective: "loss",
      direction: "minimize",
      trials: 12,
      parallelism: 2,
      pruning: false,
    },
  );
  const change = (part: Partial<SweepDraft>) => setDraft({ ...draft, ...part });
  const experiment = experiments.find((item) => item.uuid === draft.experiment);
  const heldOut = Boolean(experiment?.config.eval_dataset);
  const needsHeldOut = /^(eval_|perplexity)/.test(draft.objective) && experiment && !heldOut;
  const grid = draft.method === "grid" ? countGrid(draft.parameters) : 0;
  const ready =
    draft.name.trim() !== "" &&
    draft.experiment !== "" &&
    draft.parameters.length > 0 &&
    draft.parameters.every(isComplete) &&
    grid !== null &&
    !needsHeldOut &&
    draft.trials >= 1 &&
    draft.parallelism >= 1;
  const submit = () =>
    create.mutate(
      {
        name: draft.name.trim(),
        spec: {
          experiment: draft.experiment,
          parameters: toParameters(draft.parameters),
          method: draft.method,
          objective: draft.objective,
          direction: draft.direction,
          max_trials: draft.trials,
          parallelism: draft.parallelism,
          seed: 42,
          priority: 5,
          pruning: draft.pruning
            ? { series: "loss", min_steps: 10, reduction: 3, halt: "pause" }
            : null,
        },
      },
      {
        onSuccess: (sweep) => {
          clear();
          void navigate({
            to: "/p/$project/sweeps/$sweep",
            params: { project: param, sweep: sweep.uuid },
          });
        },
      },
    );
  return (
    <>
      <PageHeader
        title={t`New sweep`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink
            key="list"
            to="/p/$project/experiments"
            params={{ project: param }}
            search={{ view: "sweeps" }}
          >
            {t`Sweeps`}
          </AnchorLink>,
        ]}
        lead={t`Each trial is a run of an experiment with some settings replaced; the sweep finds the best.`}
      />
      <FormSection
        title={t`What is searched`}
        description={t`The experiment, and the settings that vary.`}
      >
        <Select
          label={t`Experiment`}
          description={t`Its other settings, data and base model stay as they are.`}
          searchable
          withAsterisk
          placeholder={t`Choose an experiment`}
          value={draft.experiment || null}
          onChange={(value) => change({ experiment: value ?? "" })}
          data={experiments.map((item) => ({ value: item.uuid, label: item.name }))}
        />
        <TextInput
          label={t`Name of the sweep`}
          withAsterisk
          maxLength={200}
          value={draft.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
        />
        <ParameterRows
          parameters={draft.parameters}
          onChange={(parameters) => change({ parameters })}
        />
      </FormSection>
      <FormSection
        title={t`How it is searched`}
        description={t`What counts as better, and how many trials it may take.`}
      >
        <Select
          label={t`Method`}
          description={t`Learning from earlier trials usually needs the fewest.`}
          value={draft.method}
          onChange={(value) => change({ method: (value ?? "tpe") as SweepDraft["method"] })}
          data={[
            { value: "tpe", label: t`Learn from earlier trials (TPE)` },
            { value: "random", label: t`Random` },
            { value: "grid", label: t`All combinations (grid)` },
          ]}
        />
        {grid === null && (
          <Text size="sm" c="var(--status-failed)">
            {t`A grid needs values: a range has endlessly many.`}
          </Text>
        )}
        {draft.method === "grid" && grid !== null && (
          <Text size="sm" c="dimmed">
            <Plural value={grid} one="# combination" other="# combinations" />
          </Text>
        )}
        <TextInput
          label={t`Objective`}
          description={t`A metric of the runs, such as loss, or eval_loss with held-out data.`}
          value={draft.objective}
          onChange={(event) => change({ objective: event.currentTarget.value })}
          error={
            needsHeldOut
              ? t`This experiment has no held-out data. Choose loss, or add the data to the experiment.`
              : undefined
          }
        />
        <Select
          label={t`Better is`}
          value={draft.direction}
          onChange={(value) =>
            change({ direction: (value ?? "minimize") as SweepDraft["direction"] })
          }
          data={[
            { value: "minimize", label: t`lower` },
            { value: "maximize", label: t`higher` },
          ]}
        />
        <NumberInput
          label={t`Trials, at most`}
          value={draft.trials}
          onChange={(value) => change({ trials: Number(value) })}
          min={1}
          max={500}
          allowDecimal={false}
        />
        <NumberInput
          label={t`At the same time`}
          description={t`More are faster, but learn less from each other.`}
          value={draft.parallelism}
          onChange={(value) => change({ parallelism: Number(value) })}
          min={1}
          max={64}
          allowDecimal={false}
        />
        <Switch
          label={t`Halt trials early that fall behind`}
          description={t`Compared by their loss from step 10 on; the best third goes on.`}
          checked={draft.pruning}
          onChange={(event) => change({ pruning: event.currentTarget.checked })}
        />
        <ErrorNotice error={create.error} />
        {can("training:write") && (
          <Group>
            <Button onClick={submit} disabled={!ready} loading={create.isPending}>
              {t`Start the sweep`}
            </Button>
          </Group>
        )}
      </FormSection>
    </>
  );
}
