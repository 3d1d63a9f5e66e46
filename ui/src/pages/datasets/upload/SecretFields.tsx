import { useLingui } from "@lingui/react/macro";
import { Autocomplete, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useCanHere, useProject } from "@/api/projects";
import { projectSecretsOptions } from "@/api/uploads";
import type { ImportKind } from "./sources";

interface Props {
  kind: ImportKind;
  secrets: Readonly<Record<string, string>>;
  onSecrets: (secrets: Record<string, string>) => void;
}

const VARIABLES: Record<ImportKind, readonly string[]> = {
  url: ["HTTP_TOKEN"],
  s3: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
  hub: ["HF_TOKEN", "MODELSCOPE_API_TOKEN"],
};

/** Name the secrets that open a source. Only names are entered here, never the secrets. */
export function SecretFields({ kind, secrets, onSecrets }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProject();
  const known = useQuery({
    ...projectSecretsOptions(project.uuid),
    enabled: can("tasks:read"),
  }).data?.items.map((secret) => secret.name);
  const set = (variable: string, name: string) => {
    const { [variable]: _, ...others } = secrets;
    onSecrets(name.trim() ? { ...others, [variable]: name.trim() } : others);
  };
  return (
    <Group gap="md" align="flex-start">
      {VARIABLES[kind].map((variable) => (
        <Autocomplete
          key={variable}
          label={variable}
          placeholder={t`Name of a secret`}
          data={known ?? []}
          value={secrets[variable] ?? ""}
          onChange={(name) => set(variable, name)}
        />
      ))}
    </Group>
  );
}
