import { useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useProject } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { startUpload } from "@/api/uploads";
import { FormSection } from "@/design/FormSection";
import { formatSize } from "@/design/format";
import { useDraft } from "@/design/useDraft";
import { DropZone } from "./DropZone";
import { MappingTable } from "./MappingTable";
import { nameOfFile } from "./names";
import { NO_OPTIONS, type Options, optionsToSend } from "./options";
import { peekFile } from "./peek";
import { ReadingFields } from "./ReadingFields";
import { useNameCheck } from "./useNameCheck";

/** Upload a file: drop it, look at its first rows, and send it. */
export function UploadForm({ dataset }: { dataset: Dataset | undefined }) {
  const { t, i18n } = useLingui();
  const project = useProject();
  const queries = useQueryClient();
  const [file, setFile] = useState<File | null>(null);
  const [draft, setDraft, clear] = useDraft<{ name: string } & Options>(
    `upload.${project.uuid}.${dataset?.uuid ?? "new"}`,
    { name: "", ...NO_OPTIONS },
  );
  const [touched, setTouched] = useState(false);
  const nameFault = useNameCheck(project.uuid, dataset ? "" : draft.name);
  const { data: peek } = useQuery({
    queryKey: ["peek", file?.name, file?.size, file?.lastModified, draft.delimiter],
    queryFn: () => (file ? peekFile(file, draft.delimiter || undefined) : null),
    enabled: file !== null,
  });
  const take = (chosen: File) => {
    setFile(chosen);
    setDraft({ ...draft, name: draft.name || nameOfFile(chosen.name), map: {}, types: {} });
  };
  const keyMissing = (draft.mode === "upsert" || draft.mode === "delete") && !draft.key.trim();
  const nameMissing = !dataset && !draft.name.trim();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (!file || nameMissing || nameFault || keyMissing) return;
    const known = new Set(peek?.columns);
    startUpload(
      {
        project: project.uuid,
        file,
        target: dataset
          ? { dataset: dataset.uuid, name: dataset.name }
          : { name: draft.name.trim() },
        options: optionsToSend(draft, known),
      },
      queries,
    );
    setFile(null);
    setTouched(false);
    clear();
  };
  const typed = peek?.format === "csv" || peek?.format === "tsv";
  return (
    <form onSubmit={submit} noValidate>
      <FormSection
        title={t`File`}
        description={t`JSON Lines, JSON, CSV, TSV, Parquet, Arrow or plain text, also compressed with gzip or zstd.`}
      >
        <DropZone
          title={file ? file.name : t`Drop a file here, or click to choose one`}
          hint={
            file
              ? t`${formatSize(file.size, i18n.locale)}. Drop another to replace it.`
              : t`Files of any size: a broken connection costs a few seconds, not the upload.`
          }
          onFile={take}
        />
        {touched && !file && (
          <Text size="sm" c="var(--mantine-color-error)" role="alert">
            {t`Choose a file first.`}
          </Text>
        )}
        {!dataset && (
          <TextInput
            label={t`Name of the dataset`}
            value={draft.name}
            error={nameFault ?? (touched && nameMissing && t`Give the dataset a name.`)}
            onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
          />
        )}
      </FormSection>
      {file && (
        <FormSection
          title={t`Columns`}
          description={t`The first rows of the file. Whatever is not chosen here is recognised.`}
        >
          {peek && (
            <MappingTable
              columns={peek.columns}
              rows={peek.rows}
              map={draft.map}
              onMap={(map) => setDraft({ ...draft, map })}
              types={typed ? draft.types : undefined}
              onTypes={typed ? (types) => setDraft({ ...draft, types }) : undefined}
            />
          )}
          {peek === null && (
            <Text size="sm" c="dimmed">
              {t`The platform has to read this file first. Its columns can be mapped afterwards, in the tab “Columns” of the dataset.`}
            </Text>
          )}
        </FormSection>
      )}
      <FormSection title={t`Options`} description={t`Needed only where the defaults don't fit.`}>
        <ReadingFields
          options={draft}
          onOptions={(options) => setDraft({ ...draft, ...options })}
          versionOf={dataset}
          faults={touched && keyMissing}
        />
      </FormSection>
      <Stack mt="md">
        <Group gap="sm">
          <Button type="submit" disabled={!file}>
            {dataset ? t`Upload as the next version` : t`Upload the dataset`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
