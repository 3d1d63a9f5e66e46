import { useLingui } from "@lingui/react/macro";
import { Button, Group, Switch } from "@mantine/core";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { keysOptions, useRevokeKey } from "@/api/account";
import { projectsOptions } from "@/api/projects";
import type { Schema } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ShownOnce } from "@/design/ShownOnce";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo, TimeUntil } from "@/design/values";
import { CreateKey } from "./CreateKey";

type Key = Schema<"KeyOut">;

interface Props {
  revoked: boolean;
  onRevoked: (revoked: boolean) => void;
}

/** The keys of programs that work in the user's name. */
export function ApiKeys({ revoked, onRevoked }: Props) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(keysOptions(revoked));
  const projects = useQuery(projectsOptions()).data?.items ?? [];
  const revoke = useRevokeKey();
  const [creating, setCreating] = useState(false);
  const [asking, setAsking] = useState<Key | null>(null);
  const [fresh, setFresh] = useState<string | null>(null);
  const columns: Column<Key>[] = [
    { id: "name", header: t`Name`, primary: true, width: 200, cell: (key) => key.name },
    {
      id: "prefix",
      header: t`Begins with`,
      width: 130,
      cell: (key) => <span className="mono">{key.prefix}…</span>,
    },
    {
      id: "scopes",
      header: t`Scopes`,
      cell: (key) => (
        <span className="secondary" title={key.scopes.join(", ")}>
          {key.scopes.join(", ")}
        </span>
      ),
    },
    {
      id: "project",
      header: t`Project`,
      width: 140,
      cell: (key) =>
        key.project === null
          ? t`all`
          : (projects.find(({ uuid }) => uuid === key.project)?.name ?? key.project.slice(0, 8)),
    },
    {
      id: "used",
      header: t`Last used`,
      width: 120,
      cell: (key) => (key.last_used_at ? <TimeAgo time={key.last_used_at} /> : t`never`),
    },
    {
      id: "expires",
      header: t`Expires`,
      width: 120,
      cell: (key) => (key.expires_at ? <TimeUntil time={key.expires_at} /> : t`never`),
    },
    {
      id: "revoke",
      header: "",
      width: 110,
      align: "right",
      cell: (key) =>
        key.revoked_at ? (
          <span className="secondary">
            {t`revoked`} <TimeAgo time={key.revoked_at} />
          </span>
        ) : (
          <Button variant="subtle" color="red" onClick={() => setAsking(key)}>
            {t`Revoke`}
          </Button>
        ),
    },
  ];
  const create = (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setCreating(true)}>
      {t`Create API key`}
    </Button>
  );
  return (
    <>
      <Group mb="md" gap="md">
        {create}
        <Switch
          size="xs"
          label={t`Show revoked ones`}
          checked={revoked}
          onChange={(event) => onRevoked(event.currentTarget.checked)}
        />
      </Group>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`API keys`}
          columns={columns}
          rows={data?.items}
          rowKey={(key) => key.uuid}
          empty={
            <EmptyState
              icon={<IconKey size={32} stroke={1.5} />}
              title={t`No API keys`}
              action={create}
            >
              {t`A key lets a program, such as a script or the OpenAI client, work in your name without your password, within the scopes that you give it.`}
            </EmptyState>
          }
        />
      )}
      <CreateKey
        opened={creating}
        onClose={() => setCreating(false)}
        onCreated={(key) => {
          setCreating(false);
          setFresh(key);
        }}
      />
      <ShownOnce value={fresh} title={t`The new API key`} onClose={() => setFresh(null)}>
        {t`Give it to the program, for example as the environment variable AIPLATFORM_TOKEN.`}
      </ShownOnce>
      <Confirm
        opened={asking !== null}
        onClose={() => setAsking(null)}
        title={t`Revoke the key ${asking?.name ?? ""}?`}
        action={t`Revoke`}
        pending={revoke.isPending}
        error={revoke.error}
        onConfirm={() => asking && revoke.mutate(asking.uuid, { onSuccess: () => setAsking(null) })}
      >
        {t`Programs that use it are refused immediately. A revoked key can't be made valid again.`}
      </Confirm>
    </>
  );
}
