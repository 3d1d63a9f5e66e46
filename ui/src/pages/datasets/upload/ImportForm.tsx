import { useLingui } from "@lingui/react/macro";
import { Button, Group, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useProject, useProjectParam } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { useImport } from "@/api/uploads";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { useDraft } from "@/design/useDraft";
import { ImportMapping } from "./ImportMapping";
import { NO_OPTIONS, type Options, optionsToSend } from "./options";
import { ReadingFields } from "./ReadingFields";
import { SecretFields } from "./SecretFields";
import { SourceFields } from "./SourceFields";
import { commandOf, type ImportKind, NO_SOURCE, type SourceDraft, sourceOf } from "./sources";
import { useNameCheck } from "./useNameCheck";

interface Props {
  kind: ImportKind;
  dataset: Dataset | undefined;
}

/** Have the platform fetch rows itself; a task does it, with progress and a log. */
export function ImportForm({ kind, dataset }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const navigate = useNavigate();
  const fetching = useImport(project.uuid);
  const [draft, setDraft, clear] = useDraft<{ name: string } & SourceDraft & Options>(
    `import.${project.uuid}.${dataset?.uuid ?? "new"}.${kind}`,
    { name: "", ...NO_SOURCE, ...NO_OPTIONS },
  );
  const [touched, setTouched] = useState(false);
  const nameFault = useNameCheck(project.uuid, dataset ? "" : draft.name);
  const source = sourceOf(kind, draft);
  const nameMissing = !dataset && !draft.name.trim();
  const keyMissing = (draft.mode === "upsert" || draft.mode === "delete") && !draft.key.trim();
  const change = (fields: Partial<typeof draft>) => setDraft({ ...draft, ...fields });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (!source || nameMissing || nameFault || keyMissing) return;
    const known = new Set([...Object.keys(draft.map), ...Object.keys(draft.types)]);
    fetching.mutate(
      {
        bad_rows: "refuse",
        mode: "replace",
        allow_identical: false,
        ...optionsToSend(draft, known),
        source,
        ...(dataset ? { dataset: dataset.uuid } : { name: draft.name.trim() }),
        secrets: draft.secrets,
      },
      {
        onSuccess: (task) => {
          clear();
          void navigate({
            to: "/p/$project/tasks/$task",
            params: { project: param, task: task.uuid },
          });
        },
      },
    );
  };
  return (
    <form onSubmit={submit} noValidate>
      <FormSection
        title={t`Source`}
        description={t`The platform connects only to public addresses, the hub in its settings, and networks that an administrator allowed.`}
      >
        <SourceFields kind={kind} draft={draft} onDraft={change} faults={touched && !source} />
        {!dataset && (
          <TextInput
            label={t`Name of the dataset`}
            value={draft.name}
            error={nameFault ?? (touched && nameMissing && t`Give the dataset a name.`)}
            onChange={(event) => change({ name: event.currentTarget.value })}
          />
        )}
      </FormSection>
      <FormSection
        title={t`Access`}
        description={t`What opens the source is kept as a secret of the project or of yours; only the task gets it. Public data needs none.`}
      >
        <SecretFields
          kind={kind}
          secrets={draft.secrets}
          onSecrets={(secrets) => change({ secrets })}
        />
      </FormSection>
      <FormSection
        title={t`Columns`}
        description={t`Names that mean something are recognised. Say here what other columns are.`}
      >
        <ImportMapping map={draft.map} onMap={(map) => change({ map })} />
      </FormSection>
      <FormSection title={t`Options`} description={t`Needed only where the defaults don't fit.`}>
        <ReadingFields
          options={draft}
          onOptions={change}
          versionOf={dataset}
          faults={touched && keyMissing}
        />
      </FormSection>
      {source && (
        <FormSection title={t`The same as a command`}>
          <Code label={t`The same as a command`} wrap>
            {commandOf(source, dataset?.name ?? draft.name, draft)}
          </Code>
        </FormSection>
      )}
      <ErrorNotice error={fetching.error} />
      <Group mt="md">
        <Button type="submit" loading={fetching.isPending}>
          {t`Start the import`}
        </Button>
      </Group>
    </form>
  );
}
