import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, PasswordInput, Select, Stack, Text, TextInput } from "@mantine/core";
import { IconLock, IconPlus } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import {
  type Secret,
  type SecretKind,
  useDeleteSecret,
  useSecrets,
  useStoreSecret,
} from "@/api/secrets";
import { Confirm } from "@/design/Confirm";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";

interface Props {
  /** Uuid of the project; without it, the user's own secrets. */
  project?: string;
  writable: boolean;
  /** Who can use them. */
  description: string;
}

/** Names of stored secrets. Values go in, and never come out. */
export function SecretList({ project, writable, description }: Props) {
  const { t } = useLingui();
  const { data, error, refetch } = useSecrets(project);
  const remove = useDeleteSecret(project);
  const kindLabel = useKindLabel();
  // An empty name is a new secret.
  const [storing, setStoring] = useState<string | null>(null);
  const [asking, setAsking] = useState<string | null>(null);
  const columns: Column<Secret>[] = [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (secret) => <span className="mono">{secret.name}</span>,
    },
    { id: "kind", header: t`Kind`, width: 160, cell: (secret) => kindLabel(secret.kind) },
    {
      id: "updated",
      header: t`Stored`,
      width: 130,
      cell: (secret) => <TimeAgo time={secret.updated_at} />,
    },
    {
      id: "used",
      header: t`Last used`,
      width: 130,
      cell: (secret) => (secret.last_used_at ? <TimeAgo time={secret.last_used_at} /> : t`never`),
    },
    ...(writable
      ? [
          {
            id: "actions",
            header: "",
            width: 210,
            align: "right" as const,
            cell: (secret: Secret) => (
              <Group gap={0} justify="flex-end" wrap="nowrap">
                <Button variant="subtle" onClick={() => setStoring(secret.name)}>
                  {t`Replace`}
                </Button>
                <Button variant="subtle" color="red" onClick={() => setAsking(secret.name)}>
                  {t`Delete`}
                </Button>
              </Group>
            ),
          },
        ]
      : []),
  ];
  const store = writable && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setStoring("")}>
      {t`Store a secret`}
    </Button>
  );
  return (
    <>
      <Text size="sm" c="dimmed" mb="md">
        {description}
      </Text>
      {store && <Group mb="md">{store}</Group>}
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Secrets`}
          columns={columns}
          rows={data?.items}
          rowKey={(secret) => secret.name}
          empty={
            <EmptyState icon={<IconLock size={32} stroke={1.5} />} title={t`No secrets`}>
              {t`Store the token of a model hub or the key of an object store here, and tasks can use it without anybody reading it.`}
            </EmptyState>
          }
        />
      )}
      <StoreSecret
        key={storing}
        name={storing}
        kind={data?.items.find(({ name }) => name === storing)?.kind}
        project={project}
        onClose={() => setStoring(null)}
      />
      <Confirm
        opened={asking !== null}
        onClose={() => setAsking(null)}
        title={t`Delete the secret ${asking ?? ""}?`}
        action={t`Delete`}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => asking && remove.mutate(asking, { onSuccess: () => setAsking(null) })}
      >
        {t`Waiting tasks that name it will fail.`}
      </Confirm>
    </>
  );
}

function useKindLabel(): (kind: SecretKind) => string {
  const { t } = useLingui();
  const labels: Record<SecretKind, string> = {
    generic: t`Any`,
    hub_token: t`Token of a hub`,
    s3: t`Object store`,
  };
  return (kind) => labels[kind];
}

interface StoreProps {
  /** Null: closed. Empty: a new one. */
  name: string | null;
  kind: SecretKind | undefined;
  project: string | undefined;
  onClose: () => void;
}

function StoreSecret({ name, kind = "generic", project, onClose }: StoreProps) {
  const { t } = useLingui();
  const store = useStoreSecret(project);
  const kindLabel = useKindLabel();
  const [secret, setSecret] = useState(name ?? "");
  const [value, setValue] = useState("");
  const [chosen, setChosen] = useState<SecretKind>(kind);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    store.mutate({ secret: secret.trim(), value, kind: chosen }, { onSuccess: onClose });
  };
  return (
    <Modal
      opened={name !== null}
      onClose={onClose}
      title={name ? t`Replace the secret ${name}` : t`Store a secret`}
    >
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            data-autofocus={!name || undefined}
            label={t`Name`}
            description={t`Tasks name it, never its value.`}
            required
            withAsterisk={false}
            readOnly={Boolean(name)}
            value={secret}
            onChange={(event) => setSecret(event.currentTarget.value)}
          />
          <PasswordInput
            data-autofocus={name ? true : undefined}
            label={t`Value`}
            autoComplete="off"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": t`Show the value` }}
            value={value}
            onChange={(event) => setValue(event.currentTarget.value)}
          />
          <Select
            label={t`Kind`}
            description={t`For people only; all kinds work alike.`}
            value={chosen}
            onChange={(next) => setChosen((next ?? "generic") as SecretKind)}
            data={(["generic", "hub_token", "s3"] as const).map((entry) => ({
              value: entry,
              label: kindLabel(entry),
            }))}
          />
          <ErrorNotice error={store.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={store.isPending} disabled={!secret.trim() || !value}>
              {t`Store`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
