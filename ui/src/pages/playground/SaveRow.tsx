import { Trans, useLingui } from "@lingui/react/macro";
import {
  Button,
  Group,
  Modal,
  Radio,
  Select,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { datasetsForRowsOptions, useSaveRow } from "@/api/chat";
import { useProject } from "@/api/projects";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DatasetLink } from "@/design/refs";
import { type Conversation, messagesFor } from "./chat";
import type { Place } from "./PlaygroundPage";
import { isRowShape, makeRow, type RowShape } from "./rows";
import type { Pane } from "./usePanes";

interface Props {
  place: Place;
  panes: readonly Pane[];
  conversation: Conversation;
  onClose: () => void;
}

const NEW = "new";

/** Keep an answer, corrected if need be, as a row of a dataset: as its next version. */
export function SaveRow({ place, panes, conversation, onClose }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const save = useSaveRow(project.uuid);
  const datasets = useQuery(datasetsForRowsOptions(project.uuid));
  const usable = (datasets.data?.items ?? []).filter(
    ({ shape, status }) => isRowShape(shape) && status !== "failed",
  );
  const turn = conversation.turns.find(({ id }) => id === place.turn);
  const pane = panes.find(({ who }) => who === place.who);
  const others = panes.filter(({ who }) => who !== place.who && turn?.answers[who]?.text);
  const [chosen, setChosen] = useState<string | null>(null);
  const [name, setName] = useState("chats");
  const [answer, setAnswer] = useState(turn?.answers[place.who]?.text ?? "");
  const [newShape, setNewShape] = useState<RowShape>("chat");
  const [good, setGood] = useState(true);
  const [worse, setWorse] = useState<string | null>(others[0]?.who ?? null);
  if (!turn || !pane) return null;
  const target = chosen ?? usable[0]?.uuid ?? NEW;
  const dataset = usable.find(({ uuid }) => uuid === target);
  const shape = dataset && isRowShape(dataset.shape) ? dataset.shape : newShape;
  const labelled = shape === "unpaired_preference";
  const rejected = worse ? (turn.answers[worse]?.text ?? "") : "";
  const messages = messagesFor(conversation, place.turn, place.who, pane.parameters.system);
  const row = makeRow(shape, messages, answer, rejected, good);
  const missing =
    !answer.trim() ||
    (target === NEW && !name.trim()) ||
    (shape === "preference" && !rejected.trim());
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (missing) return;
    save.mutate({
      dataset: target === NEW ? null : target,
      name: name.trim(),
      row,
      message: t`A row from the playground, answered by ${pane.label}`,
    });
  };
  if (save.data)
    return (
      <Modal opened onClose={onClose} title={t`Saved`}>
        <Stack gap="md">
          <Text size="sm">
            <Trans>
              The row is in version {save.data.version} of{" "}
              <DatasetLink uuid={save.data.dataset} name={dataset?.name ?? name} />. Its quality
              report is being made.
            </Trans>
          </Text>
          <Group justify="flex-end">
            <Button onClick={onClose}>{t`Back to the chat`}</Button>
          </Group>
        </Stack>
      </Modal>
    );
  return (
    <Modal opened onClose={onClose} size="lg" title={t`Save as a dataset row`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Select
            label={t`Dataset`}
            description={t`Datasets of chats, questions with answers, preference pairs, and labelled answers can take the row. It becomes part of their next version.`}
            allowDeselect={false}
            searchable
            value={target}
            onChange={setChosen}
            data={[
              ...usable.map((item) => ({ value: item.uuid, label: item.name })),
              { value: NEW, label: t`New dataset` },
            ]}
          />
          {target === NEW && (
            <>
              <TextInput
                label={t`Name of the new dataset`}
                maxLength={100}
                value={name}
                onChange={(event) => setName(event.currentTarget.value)}
              />
              <Select
                label={t`Rows of the new dataset`}
                allowDeselect={false}
                value={newShape}
                onChange={(value) => setNewShape(value as RowShape)}
                data={[
                  { value: "chat", label: t`Chats` },
                  { value: "unpaired_preference", label: t`Answers labelled good or bad` },
                ]}
              />
            </>
          )}
          {labelled && (
            <Radio.Group
              label={t`The answer is`}
              value={good ? "good" : "bad"}
              onChange={(value) => setGood(value === "good")}
            >
              <Group gap="lg" mt="xs">
                <Radio value="good" label={t`Good`} />
                <Radio value="bad" label={t`Bad`} />
              </Group>
            </Radio.Group>
          )}
          <Textarea
            label={shape === "preference" ? t`Better answer` : t`Answer`}
            description={
              labelled
                ? t`Leave it as the model gave it, so that the label is true of it.`
                : t`Correct it here: the dataset keeps what a good model should say.`
            }
            rows={6}
            value={answer}
            onChange={(event) => setAnswer(event.currentTarget.value)}
          />
          {shape === "preference" && (
            <Select
              label={t`Worse answer`}
              description={t`A preference pair needs a second answer: let another column answer the same question.`}
              allowDeselect={false}
              value={worse}
              onChange={setWorse}
              data={others.map(({ who, label }) => ({ value: who, label }))}
            />
          )}
          <Code label={t`The row`} wrap>
            {JSON.stringify(row, null, 2)}
          </Code>
          <ErrorNotice error={save.error ?? datasets.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={save.isPending} disabled={missing}>
              {t`Save the row`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
