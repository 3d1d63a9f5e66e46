import { useLingui } from "@lingui/react/macro";
import {
  Button,
  Group,
  NumberInput,
  SegmentedControl,
  Select,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useCreateDeployment } from "@/api/deployments";
import { allModelsOptions } from "@/api/models";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { useDraft } from "@/design/useDraft";
import { type DeploymentDraft, deployCommand, deploymentBody, EMPTY_DEPLOYMENT } from "./form";
import type { NewDeploymentSearch } from "./search";
import { useModelChoices, useTrainingChoices } from "./useModelChoices";

interface Props {
  search: NewDeploymentSearch;
  onSearch: (search: NewDeploymentSearch) => void;
}

/** Serve a model: the model and a name are enough. */
export function NewDeploymentPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const choices = useModelChoices();
  const trainings = useTrainingChoices();
  const models = useQuery(allModelsOptions);
  const create = useCreateDeployment(project.uuid);
  const [draft, setDraft, clear] = useDraft(`deploy.${project.uuid}`, EMPTY_DEPLOYMENT);
  const [touched, setTouched] = useState(false);
  const [more, setMore] = useState(false);
  const chosen = models.data?.items.find((model) => model.uuid === search.model);
  // Until a name is typed, the deployment is called like its model.
  const training = trainings.find(({ value }) => value === search.model);
  const name = draft.named ? draft.name : (chosen?.name ?? "");
  const named = chosen ? `${chosen.name}@${chosen.version}` : training ? training.value : "MODEL";
  const filled: DeploymentDraft = { ...draft, name };
  const followed =
    chosen && draft.alias && chosen.aliases.includes(draft.alias)
      ? `${chosen.name}@${draft.alias}`
      : null;
  const change = (part: Partial<DeploymentDraft>) => setDraft({ ...filled, ...part });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTouched(true);
    const body = search.model ? deploymentBody(search.model, filled, followed) : null;
    if (!body) return;
    create.mutate(body, {
      onSuccess: (made) => {
        clear();
        void navigate({
          to: "/p/$project/deployments/$deployment",
          params: { project: param, deployment: made.uuid },
        });
      },
    });
  };
  if (!can("inference:write"))
    return (
      <>
        <PageHeader title={t`Deploy a model`} />
        <Text c="dimmed">{t`Your role in this project does not allow deployments. Ask an owner of the project for it.`}</Text>
      </>
    );
  return (
    <>
      <PageHeader
        title={t`Deploy a model`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="deployments" to="/p/$project/deployments" params={{ project: param }}>
            {t`Deployments`}
          </AnchorLink>,
        ]}
        lead={t`A worker loads the model and keeps it in memory. Requests to its name are answered until you stop it.`}
      />
      <form onSubmit={submit} noValidate>
        <FormSection
          title={t`Model`}
          description={t`What answers, and the name by which programs ask for it.`}
        >
          <Select
            label={t`Model`}
            searchable
            value={search.model ?? null}
            onChange={(value) => onSearch({ model: value ?? undefined })}
            data={[
              ...choices,
              ...(trainings.length > 0
                ? [{ group: t`What these trainings will make`, items: trainings }]
                : []),
            ]}
            error={touched && !search.model && t`Choose a model.`}
            nothingFoundMessage={t`No model is ready.`}
          />
          {chosen && chosen.aliases.length > 0 && (
            <Select
              label={t`Follow an alias`}
              description={t`When the alias moves, the deployment is updated without a failed request.`}
              clearable
              placeholder={t`Keep this version`}
              value={followed ? draft.alias : null}
              onChange={(alias) => change({ alias })}
              data={chosen.aliases}
            />
          )}
          <TextInput
            label={t`Name`}
            description={t`Letters, digits, Chinese characters and . _ -`}
            maxLength={100}
            value={name}
            error={touched && !name.trim() && t`Give the deployment a name.`}
            onChange={({ currentTarget: { value } }) =>
              change({ name: value, named: value !== "" })
            }
          />
          <NumberInput
            label={t`Context, in tokens`}
            description={t`Question and answer together. Longer contexts need more memory.`}
            min={8}
            max={1_048_576}
            value={draft.maxLength}
            onChange={(value) => change({ maxLength: value })}
          />
          <NumberInput
            label={t`GPUs`}
            description={t`0 lets the model answer on the CPU, which suits small models.`}
            min={0}
            max={64}
            value={draft.gpus}
            onChange={(value) => change({ gpus: value })}
          />
        </FormSection>
        {more ? (
          <FormSection
            title={t`Server`}
            description={t`The defaults suit most models. An idle server reserves little.`}
          >
            <div>
              <Text size="sm" id="engine-label">{t`Engine`}</Text>
              <SegmentedControl
                aria-labelledby="engine-label"
                value={draft.engine}
                onChange={(value) =>
                  change({ engine: value as DeploymentDraft["engine"], precision: "auto" })
                }
                data={["transformers", "llama_cpp", "vllm"]}
              />
              <Text size="xs" c="dimmed" mt={4}>
                {t`transformers runs everywhere. llama_cpp is faster on CPUs. vllm is faster on GPUs. Both need their package on the worker.`}
              </Text>
            </div>
            <Select
              label={t`Precision`}
              description={t`auto takes what the hardware does well. Only llama_cpp has fp16 and q8_0.`}
              allowDeselect={false}
              value={draft.precision}
              onChange={(value) =>
                change({ precision: (value ?? "auto") as DeploymentDraft["precision"] })
              }
              data={
                draft.engine === "llama_cpp"
                  ? ["auto", "q8_0", "fp16", "bf16", "fp32"]
                  : ["auto", "bf16", "fp32"]
              }
            />
            <NumberInput
              label={t`Requests at the same time`}
              description={t`So many are answered together; others wait.`}
              min={1}
              max={1024}
              value={draft.maxBatchSize}
              onChange={(value) => change({ maxBatchSize: value })}
            />
            <NumberInput
              label={t`CPU cores`}
              description={t`What is reserved. While it answers, it may use more.`}
              min={0}
              max={1024}
              step={0.1}
              value={draft.cpus}
              onChange={(value) => change({ cpus: value })}
            />
            <NumberInput
              label={t`Memory, in MiB`}
              description={t`What is reserved; 0 reserves none.`}
              min={0}
              value={draft.memoryMb}
              onChange={(value) => change({ memoryMb: value })}
            />
            <TextInput
              label={t`Queue`}
              description={t`Only workers of this queue serve it.`}
              maxLength={50}
              value={draft.queue}
              onChange={({ currentTarget: { value } }) => change({ queue: value })}
            />
          </FormSection>
        ) : (
          <Button variant="subtle" onClick={() => setMore(true)}>{t`More settings`}</Button>
        )}
        <Stack gap="md" mt="md" maw={860}>
          <ErrorNotice error={create.error} />
          <Group gap="sm">
            <Button type="submit" loading={create.isPending}>
              {t`Deploy`}
            </Button>
            {choices.length === 0 && models.isSuccess && can("models:write") && (
              <ButtonLink
                variant="default"
                to="/p/$project/models/import"
                params={{ project: param }}
              >
                {t`Import a model first`}
              </ButtonLink>
            )}
          </Group>
          <section>
            <Text size="sm" c="dimmed" mb={4}>
              {t`The same from the command line:`}
            </Text>
            <Code label={t`Command`} wrap>
              {deployCommand(named, filled, followed)}
            </Code>
          </section>
        </Stack>
      </form>
    </>
  );
}
