import { useLingui } from "@lingui/react/macro";
import { Button, Checkbox, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { mySecretsOptions, projectSecretsOptions } from "@/api/models";
import { useCanHere, useProject } from "@/api/projects";
import { useCan } from "@/api/session";
import { FormSection } from "@/design/FormSection";
import type { ImportDraft } from "./importForm";
import type { ImportKind } from "./search";

interface Props {
  kind: ImportKind;
  draft: ImportDraft;
  onChange: (part: Partial<ImportDraft>) => void;
  touched: boolean;
}

/** What the model will be called here, and what else is known of it. */
export function ImportDetails({ kind, draft, onChange, touched }: Props) {
  const { t } = useLingui();
  const can = useCan();
  const [more, setMore] = useState(false);
  return (
    <FormSection
      title={t`Model`}
      description={t`Its name here. A name that exists gets the next version.`}
    >
      <TextInput
        label={t`Name`}
        description={t`Letters, digits, Chinese characters and . _ -`}
        maxLength={100}
        error={touched && !draft.name.trim() && t`Give the model a name.`}
        value={draft.name}
        onChange={({ currentTarget: { value } }) => onChange({ name: value, named: value !== "" })}
      />
      {kind === "hub" && <SecretField draft={draft} onChange={onChange} />}
      {more ? (
        <>
          <TextInput
            label={t`Version`}
            description={t`Without it, the next number.`}
            maxLength={50}
            value={draft.version}
            onChange={({ currentTarget: { value } }) => onChange({ version: value })}
          />
          <TextInput
            label={t`Licence`}
            description={t`Counts before the one that the model's own files name.`}
            maxLength={100}
            value={draft.license}
            onChange={({ currentTarget: { value } }) => onChange({ license: value })}
          />
          {can("*") && (
            <Checkbox
              label={t`Share with all projects`}
              description={t`Everybody may use the model; only administrators may change it.`}
              checked={draft.shared}
              onChange={({ currentTarget: { checked } }) => onChange({ shared: checked })}
            />
          )}
        </>
      ) : (
        <Button
          variant="subtle"
          onClick={() => setMore(true)}
          style={{ alignSelf: "flex-start" }}
        >{t`More settings`}</Button>
      )}
    </FormSection>
  );
}

/** The secret with the token of a gated repository. */
function SecretField({ draft, onChange }: Pick<Props, "draft" | "onChange">) {
  const { t } = useLingui();
  const project = useProject();
  const can = useCanHere();
  const own = useQuery(mySecretsOptions);
  const shared = useQuery({
    ...projectSecretsOptions(project.uuid),
    enabled: can("tasks:read"),
  });
  const names = new Set(
    [...(own.data?.items ?? []), ...(shared.data?.items ?? [])].map((secret) => secret.name),
  );
  return (
    <Select
      label={t`Token of the hub`}
      description={t`Needed for gated repositories only: the secret that contains your token.`}
      placeholder={t`None`}
      clearable
      value={draft.secret || null}
      data={[...names]}
      onChange={(value) => onChange({ secret: value ?? "" })}
    />
  );
}
