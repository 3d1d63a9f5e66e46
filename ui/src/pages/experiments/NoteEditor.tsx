import { useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import type { Versioned } from "@/api/etags";
import { useChangeExperiment, useReadExperiment } from "@/api/experiments";
import { useCanHere } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { useComplain } from "@/design/useComplain";
import { useDraft } from "@/design/useDraft";

/** The parser of Markdown is large, and loaded only where there is a note. */
const Markdown = lazy(() =>
  import("@/design/Markdown").then((module) => ({ default: module.Markdown })),
);

/** What people noted about an experiment; a text that is not saved yet survives a reload. */
export function NoteEditor({ experiment }: { experiment: Experiment }) {
  const { t } = useLingui();
  const can = useCanHere();
  const change = useChangeExperiment(experiment.uuid);
  const read = useReadExperiment(experiment.uuid);
  const complain = useComplain();
  const [editing, setEditing] = useState(false);
  // A note that somebody else changed meanwhile is not overwritten.
  const [version, setVersion] = useState<string>();
  const [draft, setDraft, clear] = useDraft(`note.${experiment.uuid}`, {
    text: experiment.note ?? "",
  });
  const begin = ({ value, version: current }: Versioned<Experiment>) => {
    setDraft({ text: value.note ?? "" });
    setVersion(current);
    setEditing(true);
  };
  const save = () =>
    change.mutate(
      { note: draft.text, version },
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
          <Suspense fallback={<PageSkeleton />}>
            <Markdown label={t`Note`}>{experiment.note}</Markdown>
          </Suspense>
        ) : (
          <Text c="dimmed">
            {t`No note yet. Write down what this experiment is to show, and what came of it.`}
          </Text>
        )}
        {can("training:write") && (
          <Button
            variant="default"
            loading={read.isPending}
            onClick={() => read.mutate(undefined, { onSuccess: begin, onError: complain })}
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
