import { useLingui } from "@lingui/react/macro";
import { Group, TextInput } from "@mantine/core";
import type { ImportKind, SourceDraft } from "./sources";

interface Props {
  kind: ImportKind;
  draft: SourceDraft;
  onDraft: (fields: Partial<SourceDraft>) => void;
  /** Says what is missing. */
  faults: boolean;
}

/** Where the rows come from. */
export function SourceFields({ kind, draft, onDraft, faults }: Props) {
  const { t } = useLingui();
  const field = (name: Exclude<keyof SourceDraft, "secrets">) => ({
    value: draft[name],
    spellCheck: false,
    onChange: (event: React.ChangeEvent<HTMLInputElement>) =>
      onDraft({ [name]: event.currentTarget.value }),
  });
  if (kind === "url")
    return (
      <TextInput
        label={t`Address of the file`}
        placeholder="https://example.com/rows.jsonl.gz"
        error={faults && t`An address begins with https:// or http://.`}
        {...field("url")}
      />
    );
  if (kind === "s3")
    return (
      <>
        <TextInput
          label={t`Object`}
          placeholder="s3://bucket/folder/rows.parquet"
          error={faults && t`An object is s3://, the bucket, and the path in it.`}
          {...field("uri")}
        />
        <Group grow align="flex-start">
          <TextInput label={t`Region`} {...field("region")} />
          <TextInput
            label={t`Endpoint`}
            description={t`Of a store other than Amazon's.`}
            inputWrapperOrder={["label", "input", "description", "error"]}
            placeholder="https://minio.example.com"
            {...field("endpoint")}
          />
        </Group>
      </>
    );
  return (
    <>
      <TextInput
        label={t`Repository`}
        placeholder="someone/faq"
        description={t`Owner and name, or the address of its page.`}
        inputWrapperOrder={["label", "input", "description", "error"]}
        error={faults && t`A repository is the owner, a slash, and the name.`}
        {...field("repository")}
      />
      <Group grow align="flex-start">
        <TextInput label={t`Split of the data`} placeholder="train" {...field("split")} />
        <TextInput label={t`Subset`} placeholder={t`The only one`} {...field("subset")} />
        <TextInput label={t`Revision`} placeholder="main" {...field("revision")} />
      </Group>
      <TextInput
        label={t`One file only`}
        placeholder="data/train-00000.parquet"
        {...field("file")}
      />
    </>
  );
}
