import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, SegmentedControl, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { modelOptions, useCreateModel, useImportModel } from "@/api/models";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { useDraft } from "@/design/useDraft";
import { ImportDetails } from "./ImportDetails";
import { ImportSource } from "./ImportSource";
import { type ChosenFile, readChosen, suggestName } from "./importFiles";
import { EMPTY_IMPORT, type ImportDraft, importCommand, isUpload, modelBody } from "./importForm";
import { type ImportKind, type ImportSearch, KINDS } from "./search";
import { UploadProgress } from "./UploadProgress";
import { useModelUpload } from "./useModelUpload";
import { modelLabel } from "./versions";

interface Props {
  search: ImportSearch;
  onSearch: (search: ImportSearch) => void;
}

/** Bring a model in: from a package, a folder, a GGUF file or a hub. */
export function ImportPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const kind = search.kind ?? "package";
  const [draft, setDraft, clear] = useDraft(`import-model.${project.uuid}`, EMPTY_IMPORT);
  const [files, setFiles] = useState<ChosenFile[]>([]);
  const [skipped, setSkipped] = useState(0);
  const [touched, setTouched] = useState(false);
  const existing = useQuery({
    ...modelOptions(search.model ?? ""),
    enabled: search.model !== undefined,
  });
  const create = useCreateModel(project.uuid);
  const start = useImportModel();
  const { state, upload, stop } = useModelUpload();
  const labels: Record<ImportKind, string> = {
    package: t`Package`,
    directory: t`Folder`,
    gguf: t`GGUF file`,
    hub: t`Hub`,
  };
  const change = (part: Partial<ImportDraft>) => setDraft({ ...draft, ...part });
  const choose = (chosen: readonly File[]) => {
    const read = readChosen(chosen);
    setFiles(read.files);
    setSkipped(read.skipped);
    if (!draft.named) change({ name: suggestName(read.name) });
  };
  const open = (model: string) => {
    clear();
    void navigate({ to: "/p/$project/models/$model", params: { project: param, model } });
  };
  const send = async (model: string) => {
    if (!(await upload(model, files))) return;
    start.mutate(model, { onSuccess: () => open(model) });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (isUpload(kind) && files.length === 0) return;
    if (search.model) {
      void send(search.model);
      return;
    }
    const body = modelBody(kind, draft);
    if (!body) return;
    create.mutate(body, {
      onSuccess: (model) => {
        if (!isUpload(kind)) return open(model.uuid);
        // From here on the address names the model, so that a reload can continue.
        onSearch({ kind, model: model.uuid });
        void send(model.uuid);
      },
    });
  };
  if (!can("models:write"))
    return (
      <>
        <PageHeader title={t`Import a model`} />
        <Text c="dimmed">{t`Your role in this project does not allow imports. Ask an owner of the project for it.`}</Text>
      </>
    );
  const busy = state.active || create.isPending || start.isPending;
  return (
    <>
      <PageHeader
        title={
          existing.data ? t`Continue the upload of ${modelLabel(existing.data)}` : t`Import a model`
        }
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="models" to="/p/$project/models" params={{ project: param }}>
            {t`Models`}
          </AnchorLink>,
        ]}
        lead={t`The import checks the files and keeps the weights as safetensors. Pickle files, quantized weights and models that need their own code are refused with the reason.`}
      />
      <form onSubmit={submit} noValidate>
        <FormSection title={t`Source`} description={t`Where the files of the model are now.`}>
          <SegmentedControl
            aria-label={t`Source`}
            value={kind}
            disabled={busy}
            onChange={(value) => onSearch({ ...search, kind: value as ImportKind })}
            data={KINDS.filter((value) => !search.model || isUpload(value)).map((value) => ({
              value,
              label: labels[value],
            }))}
          />
          <ImportSource
            kind={kind}
            draft={draft}
            onChange={change}
            files={files}
            skipped={skipped}
            onFiles={choose}
            touched={touched}
            disabled={busy}
          />
        </FormSection>
        {!search.model && (
          <ImportDetails kind={kind} draft={draft} onChange={change} touched={touched} />
        )}
        <Stack gap="md" mt="md">
          {(state.active || state.error !== null) && (
            <UploadProgress files={files} state={state} onStop={stop} />
          )}
          <ErrorNotice error={create.error ?? state.error ?? start.error ?? existing.error} />
          <Group gap="sm">
            <Button type="submit" loading={busy}>
              {search.model ? t`Upload and import` : t`Import`}
            </Button>
            {search.model && !busy && (
              <Button variant="default" onClick={() => onSearch({ kind })}>
                {t`Import another model instead`}
              </Button>
            )}
          </Group>
          {!search.model && (
            <section>
              <Text size="sm" c="dimmed" mb={4}>
                <Trans>The same from the command line:</Trans>
              </Text>
              <Code label={t`Command`} wrap>
                {importCommand(kind, draft)}
              </Code>
            </section>
          )}
        </Stack>
      </form>
    </>
  );
}
