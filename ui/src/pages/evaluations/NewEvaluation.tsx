import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { modelChoicesOptions } from "@/api/choices";
import { useEvaluate } from "@/api/evaluations";
import { useProject, useProjectParam } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useDraft } from "@/design/useDraft";
import { DatasetPicker } from "@/pages/training/DatasetPicker";
import { readBounds } from "./bounds";

interface Props {
  opened: boolean;
  model: string | undefined;
  onClose: () => void;
}

const EMPTY = {
  name: "",
  model: "",
  dataset: "",
  version: "",
  conditions: "",
  answers: 3,
};

/** Choose a model, held-out rows, and what must be so of the result. */
export function NewEvaluation({ opened, model, onClose }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const navigate = useNavigate();
  const evaluate = useEvaluate(project.uuid);
  const models = useQuery({ ...modelChoicesOptions(project.uuid), enabled: opened }).data?.items;
  const [draft, setDraft, clear] = useDraft(`evaluation.${project.uuid}`, EMPTY);
  const change = (part: Partial<typeof EMPTY>) => setDraft({ ...draft, ...part });
  const chosen = draft.model || model || "";
  const subject = models?.find((item) => item.uuid === chosen);
  const bounds = readBounds(draft.conditions);
  const name = draft.name.trim() || (subject ? t`Evaluation of ${subject.name}` : "");
  const submit = () =>
    evaluate.mutate(
      {
        name,
        priority: 5,
        spec: {
          type: "evaluation",
          model: chosen,
          dataset: { dataset: draft.dataset, version: draft.version || null },
          pass_if: bounds ?? [],
          batch_size: 8,
          max_length: 512,
          answers: draft.answers,
          max_new_tokens: 64,
          precision: "auto",
          queue: "default",
          max_attempts: 3,
          retry_seconds: 10,
        },
      },
      {
        onSuccess: (task) => {
          clear();
          void navigate({
            to: "/p/$project/evaluations/$evaluation",
            params: { project: param, evaluation: task.uuid },
          });
        },
      },
    );
  return (
    <Modal opened={opened} onClose={onClose} title={t`New evaluation`} size="lg">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <Stack gap="md">
          <Select
            label={t`Model`}
            description={t`A tuned model is compared with the model it was made from.`}
            withAsterisk
            searchable
            placeholder={t`Choose a model`}
            value={chosen || null}
            onChange={(value) => change({ model: value ?? "" })}
            data={(models ?? [])
              .filter((item) => item.status === "ready")
              .map((item) => ({
                value: item.uuid,
                label: `${item.name}${item.version ? `@${item.version}` : ""}`,
              }))}
          />
          <DatasetPicker
            label={t`Held-out data`}
            description={t`Rows that the model was not trained on.`}
            dataset={draft.dataset}
            version={draft.version}
            onChange={(dataset, version) => change({ dataset, version })}
            required
          />
          <TextInput
            label={t`Conditions`}
            description={t`Optional, separated by commas, such as loss<=2.0, perplexity<8. If one is not met, the evaluation fails.`}
            value={draft.conditions}
            onChange={(event) => change({ conditions: event.currentTarget.value })}
            error={
              bounds === null
                ? t`Write each as loss or perplexity, <, <=, > or >=, and a number.`
                : undefined
            }
          />
          <NumberInput
            label={t`Answers side by side`}
            description={t`Rows that both models answer.`}
            value={draft.answers}
            onChange={(value) => change({ answers: Number(value) })}
            min={0}
            max={100}
            allowDecimal={false}
          />
          <TextInput
            label={t`Name`}
            placeholder={name}
            maxLength={255}
            value={draft.name}
            onChange={(event) => change({ name: event.currentTarget.value })}
          />
          <ErrorNotice error={evaluate.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>{t`Close`}</Button>
            <Button
              type="submit"
              loading={evaluate.isPending}
              disabled={!chosen || !draft.dataset || bounds === null}
            >
              {t`Start the evaluation`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
