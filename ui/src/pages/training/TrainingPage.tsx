import { useLingui } from "@lingui/react/macro";
import { Button, Group, Stepper } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useEstimateTraining } from "@/api/estimates";
import { experimentOptions, useCreateExperiment, useStartRun } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import { useDraft } from "@/design/useDraft";
import { DataStep } from "./DataStep";
import { DEFAULTS, type Draft, fromConfig, toSpec, withChange } from "./draft";
import { EstimatePanel } from "./EstimatePanel";
import { MethodStep } from "./MethodStep";
import { ModelStep } from "./ModelStep";
import { ResourcesStep } from "./ResourcesStep";
import { Summary } from "./Summary";
import { STEPS, type TrainingSearch } from "./search";
import classes from "./Training.module.css";
import { useProblems } from "./useProblems";
import { useTrainingFacts } from "./useTrainingFacts";

interface Props {
  search: TrainingSearch;
  onSearch: (search: TrainingSearch) => void;
}

/** From data and a base model to a training: four steps, each filled in with what usually fits. */
export function TrainingPage(props: Props) {
  const { from, dataset, model } = props.search;
  const other = useQuery({ ...experimentOptions(from ?? ""), enabled: from !== undefined });
  if (from && other.isPending) return <PageSkeleton />;
  if (other.error) return <ErrorNotice error={other.error} onRetry={() => void other.refetch()} />;
  const initial: Draft = {
    ...DEFAULTS,
    ...(dataset ? { dataset } : {}),
    ...(model ? { model } : {}),
    ...(other.data ? fromConfig(other.data.config) : {}),
  };
  return <TrainingForm {...props} initial={initial} />;
}

function TrainingForm({ search, onSearch, initial }: Props & { initial: Draft }) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const key = [project.uuid, search.from, search.dataset, search.model].join(".");
  const [draft, setDraft, clear] = useDraft(`training.${key}`, initial);
  const facts = useTrainingFacts(draft);
  const problems = useProblems(draft, facts);
  const create = useCreateExperiment(project.uuid);
  const start = useStartRun();
  // The experiment outlives a refused run, so that a second attempt does not make another one.
  const [created, setCreated] = useState<{ uuid: string; form: string } | null>(null);
  const estimate = useEstimateTraining(project.uuid);
  const [estimated, setEstimated] = useState<{ uuid: string; form: string } | null>(null);
  const step = STEPS.indexOf(search.step ?? "data");
  const go = (place: number) => onSearch({ ...search, step: STEPS[place] });
  const blocked = problems.some((problem) => problem.blocks);
  const form = JSON.stringify({ ...draft, gateReason: "", priority: 0 });
  const make = async () => {
    if (created?.form === form) return created.uuid;
    const made = await create.mutateAsync({
      name: draft.name.trim(),
      config: toSpec(draft),
    });
    setCreated({ uuid: made.uuid, form });
    return made.uuid;
  };
  const submit = async (run: boolean) => {
    const experiment = await make();
    if (run) {
      const task = await start.mutateAsync({
        experiment,
        priority: draft.priority,
        override_gate: draft.gateReason.trim() || null,
      });
      clear();
      await navigate({
        to: "/p/$project/tasks/$task",
        params: { project: param, task: task.uuid },
      });
      return;
    }
    clear();
    await navigate({
      to: "/p/$project/experiments/$experiment",
      params: { project: param, experiment },
    });
  };
  // A failure stands below the buttons, from the state of the mutation.
  const send = (run: boolean) => void submit(run).catch(() => undefined);
  // A method whose answers have no known length can't be estimated.
  const estimable = draft.dataset !== "" && draft.model !== "" && draft.method !== "grpo";
  const look = async () => {
    const made = await estimate.mutateAsync({ config: toSpec(draft) });
    setEstimated({ uuid: made.uuid, form });
  };
  const shared = {
    draft,
    facts,
    onChange: (change: Partial<Draft>) => setDraft(withChange(draft, change)),
  };
  const pending = create.isPending || start.isPending;
  const last = step === STEPS.length - 1;
  return (
    <>
      <PageHeader
        title={t`New training`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="list" to="/p/$project/experiments" params={{ project: param }}>
            {t`Experiments`}
          </AnchorLink>,
        ]}
        lead={t`Choose data and a base model; sensible settings are filled in.`}
      />
      <div className={classes.columns}>
        <div>
          <Stepper active={step} onStepClick={go} size="xs" mb="md" iconSize={28}>
            <Stepper.Step label={t`Data`} />
            <Stepper.Step label={t`Base model`} />
            <Stepper.Step label={t`Settings`} />
            <Stepper.Step label={t`Resources`} />
          </Stepper>
          {step === 0 && <DataStep {...shared} />}
          {step === 1 && <ModelStep {...shared} />}
          {step === 2 && <MethodStep {...shared} />}
          {step === 3 && <ResourcesStep {...shared} />}
          <ErrorNotice error={create.error ?? start.error ?? estimate.error} />
          <Group mt="lg" gap="sm">
            {step > 0 && (
              <Button variant="default" onClick={() => go(step - 1)}>
                {t`Back`}
              </Button>
            )}
            {!last && <Button onClick={() => go(step + 1)}>{t`Continue`}</Button>}
            {can("training:write") && (last || !blocked) && (
              <>
                <Button
                  variant={last ? "filled" : "default"}
                  disabled={blocked}
                  loading={pending}
                  onClick={() => send(true)}
                >
                  {t`Start training`}
                </Button>
                <Button
                  variant="subtle"
                  disabled={blocked}
                  loading={pending}
                  onClick={() => send(false)}
                >
                  {t`Save without starting`}
                </Button>
                <Button
                  variant="subtle"
                  disabled={!estimable}
                  loading={estimate.isPending}
                  title={
                    draft.method === "grpo"
                      ? t`This method can't be estimated: the length of its answers is unknown.`
                      : t`Says what the training would do, without starting it.`
                  }
                  onClick={() => void look().catch(() => undefined)}
                >
                  {t`Estimate`}
                </Button>
              </>
            )}
          </Group>
          {estimated && (
            <EstimatePanel estimate={estimated.uuid} outdated={estimated.form !== form} />
          )}
        </div>
        <Summary
          draft={draft}
          facts={facts}
          problems={problems}
          onStep={(wanted) => onSearch({ ...search, step: wanted })}
        />
      </div>
    </>
  );
}
