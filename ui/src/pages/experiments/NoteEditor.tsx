import { useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { useState } from "react";
import { useChangeExperiment } from "@/api/experiments";
import { useCanHere } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useDraft } from "@/design/useDraft";

/** What people noted about an experiment; a text that is not saved yet survives a reload. */
export function NoteEditor({ experiment }: { experiment: Experiment }) {
  const { t } = useLingui();
  const can = useCanHere();
  const change = useChangeExperiment(experiment.uuid);
  const [editing, setEditing] = useState(false);
  const [draft, setDraft, clear] = useDraft(`note.${experiment.uuid}`, {
    text: experiment.note ?? "",
  });
  const save = () =>
    change.mutate(
      { note: draft.text },
      {
        onSuccess: () => {
          clear();
          setEditing(false);
        },
      },
    );
  if (!editing)
    return (
      <Stack gap="md" align="flex-start">
        {experiment.note ? (
          <Text style={{ whiteSpace: "pre-wrap", maxWidth: "68ch", overflowWrap: "anywhere" }}>
            {experiment.note}
          </Text>
        ) : (
          <Text c="dimmed">
            {t`No note yet. Write down what this experiment is to show, and what came of it.`}
          </Text>
        )}
        {can("training:write") && (
          <Button
            variant="default"
            onClick={() => {
              setDraft({ text: experiment.note ?? "" });
              setEditing(true);
            }}
          >
            {t`Edit the note`}
          </Button>
        )}
      </Stack>
    );
  return (
    <Stack gap="md" maw={720}>
      <Textarea
        label={t`Note`}
        description={t`Markdown`}
        rows={12}
        value={draft.text}
        onChange={(event) => setDraft({ text: event.currentTarget.value })}
      />
      <ErrorNotice error={change.error} />
      <Group gap="sm">
        <Button onClick={save} loading={change.isPending}>{t`Save`}</Button>
        <Button variant="default" onClick={() => setEditing(false)}>{t`Cancel`}</Button>
      </Group>
    </Stack>
  );
}
