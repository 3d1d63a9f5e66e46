import { useLingui } from "@lingui/react/macro";
import { Button, Drawer, Group, Select, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useCreateKey } from "@/api/account";
import { covers } from "@/api/permissions";
import { ownAccessOptions, projectsOptions } from "@/api/projects";
import { permissionsOptions } from "@/api/roles";
import { useCan } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PermissionPicker } from "../roles/PermissionPicker";

interface Props {
  opened: boolean;
  onClose: () => void;
  onCreated: (key: string) => void;
}

/** Create an API key with as little power as its program needs. */
export function CreateKey({ opened, onClose, onCreated }: Props) {
  const { t } = useLingui();
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      position="right"
      size="lg"
      title={t`Create API key`}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {opened && <KeyForm onCreated={onCreated} />}
    </Drawer>
  );
}

function KeyForm({ onCreated }: Pick<Props, "onCreated">) {
  const { t } = useLingui();
  const can = useCan();
  const create = useCreateKey();
  const projects = useQuery(projectsOptions()).data?.items ?? [];
  const permissions = useQuery(permissionsOptions).data?.items ?? [];
  const [name, setName] = useState("");
  const [project, setProject] = useState<string | null>(null);
  const [days, setDays] = useState("90");
  const [scopes, setScopes] = useState<string[]>([]);
  const access = useQuery({
    ...ownAccessOptions(project ?? ""),
    enabled: project !== null,
  }).data;
  const held = access?.permissions.map((entry) => entry.permission) ?? [];
  // In one project, what the user may do there; else what they may do somewhere.
  const offered = permissions.filter((entry) =>
    project !== null
      ? entry.reaches_projects && covers(held, entry.permission)
      : entry.reaches_projects || can(entry.permission),
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const known = new Set(offered.map((entry) => entry.permission));
    create.mutate(
      {
        name: name.trim(),
        scopes: scopes.filter((scope) => known.has(scope)),
        project,
        expires_in_days: days === "never" ? null : Number(days),
      },
      { onSuccess: ({ key }) => onCreated(key) },
    );
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label={t`Name`}
          description={t`Of the program that gets it, so that you know later which key to revoke.`}
          required
          withAsterisk={false}
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Select
          label={t`Project`}
          description={t`A key for one project can do nothing in others.`}
          clearable
          searchable
          placeholder={t`All projects`}
          value={project}
          onChange={setProject}
          data={projects.map(({ uuid, name: label }) => ({ value: uuid, label }))}
        />
        <Select
          label={t`Expires`}
          value={days}
          onChange={(value) => setDays(value ?? "90")}
          data={[
            { value: "7", label: t`In 7 days` },
            { value: "30", label: t`In 30 days` },
            { value: "90", label: t`In 90 days` },
            { value: "365", label: t`In a year` },
            { value: "never", label: t`Never` },
          ]}
        />
        <PermissionPicker
          label={t`Scopes: what the program may do`}
          permissions={offered}
          value={scopes}
          onChange={setScopes}
        />
        <ErrorNotice error={create.error} />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={scopes.length === 0}>
            {t`Create API key`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
