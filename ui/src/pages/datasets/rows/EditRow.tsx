import { useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Textarea } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type FormEvent, useState } from "react";
import { type DatasetVersion, type Row, usePatchRows } from "@/api/datasets";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { fullText } from "./cells";
import { type Edited, readEdits } from "./edits";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  place: number;
  row: Row;
  onDone: () => void;
}

/** Correct a row by hand, or delete it; both make a version. */
export function EditRow({ dataset, version, place, row, onDone }: Props) {
  const { t, i18n } = useLingui();
  const [texts, setTexts] = useState<Record<string, string>>(() =>
    Object.fromEntries(version.columns.map(({ name }) => [name, fullText(row[name])])),
  );
  const [faulty, setFaulty] = useState<readonly string[]>([]);
  const patch = usePatchRows(dataset.uuid);
  const parent = version.version === dataset.version ? null : version.version;
  const done = {
    onSuccess: (made: DatasetVersion) => {
      notifications.show({ message: t`Saved as ${made.version}.` });
      onDone();
    },
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const edits = readEdits(row, texts);
    setFaulty(edits.faulty);
    if (edits.faulty.length > 0) return;
    if (Object.keys(edits.values).length === 0) onDone();
    else patch.mutate({ set: [{ row: place, values: edits.values as Edited }], parent }, done);
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {version.columns.map(({ name }) => (
          <Textarea
            key={name}
            label={name}
            autosize
            maxRows={16}
            error={faulty.includes(name) && t`This is not valid JSON. Check quotes and commas.`}
            styles={typeof row[name] === "string" ? {} : { input: { fontFamily: "monospace" } }}
            value={texts[name] ?? ""}
            onChange={(event) => setTexts({ ...texts, [name]: event.currentTarget.value })}
          />
        ))}
        <ErrorNotice error={patch.error} />
        <Group gap="sm">
          <Button type="submit" loading={patch.isPending}>
            {t`Save as a new version`}
          </Button>
          <Button variant="default" onClick={onDone}>
            {t`Cancel`}
          </Button>
          <Button
            variant="subtle"
            color="red"
            ml="auto"
            loading={patch.isPending}
            onClick={() => patch.mutate({ delete: [place], parent }, done)}
          >
            {t`Delete row ${i18n.number(place)}`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
