import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Alias, aliasesOptions } from "@/api/aliases";
import { useCanHere, useProjectParam } from "@/api/projects";
import { useCan } from "@/api/session";
import type { Model } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { UserName } from "@/design/refs";
import { DataTable } from "@/design/table/DataTable";
import { TimeAgo } from "@/design/values";
import { modelLabel } from "../versions";
import { type AliasChange, AliasDialog } from "./AliasDialog";
import { AliasHistory } from "./AliasHistory";

/** The aliases of all versions of the model: where each points, who moved it last, and why. */
export function AliasTable({ model }: { model: Model }) {
  const { t } = useLingui();
  const project = useProjectParam();
  const here = useCanHere();
  const everywhere = useCan();
  const { data, error, refetch } = useQuery(aliasesOptions(model.uuid));
  const [change, setChange] = useState<AliasChange | null>(null);
  const [shown, setShown] = useState<string | null>(null);
  const mayMove = model.project === null ? everywhere("*") : here("models:write");
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  const aliases = data?.items ?? [];
  const actions = (alias: Alias) => (
    <Group gap={4} wrap="nowrap">
      <Button
        size="compact-xs"
        variant="subtle"
        aria-label={t`History of ${alias.name}`}
        onClick={() => setShown(alias.name)}
      >
        {t`History`}
      </Button>
      {mayMove && (
        <>
          {alias.model !== model.uuid && model.status === "ready" && (
            <Button
              size="compact-xs"
              variant="subtle"
              aria-label={t`Move ${alias.name} to this version`}
              onClick={() => setChange({ kind: "move", alias })}
            >
              {t`Move here`}
            </Button>
          )}
          <Button
            size="compact-xs"
            variant="subtle"
            aria-label={t`Undo the last move of ${alias.name}`}
            onClick={() => setChange({ kind: "undo", alias })}
          >
            {t`Undo`}
          </Button>
          <Button
            size="compact-xs"
            variant="subtle"
            color="red"
            aria-label={t`Delete the alias ${alias.name}`}
            onClick={() => setChange({ kind: "delete", alias })}
          >
            {t`Delete`}
          </Button>
        </>
      )}
    </Group>
  );
  return (
    <>
      <Group justify="space-between" align="flex-start" mb="sm">
        <Text c="dimmed" maw={680}>
          {t`An alias is a name for one version, such as production. Programs, commands and deployments that use it need not change when another version takes over.`}
        </Text>
        {mayMove && model.status === "ready" && (
          <Button variant="default" onClick={() => setChange({ kind: "create" })}>
            {t`Set an alias`}
          </Button>
        )}
      </Group>
      <DataTable
        label={t`Aliases`}
        rows={data && aliases}
        rowKey={(alias) => alias.name}
        columns={[
          { id: "alias", header: t`Alias`, primary: true, cell: ({ name }) => `@${name}` },
          {
            id: "version",
            header: t`Version`,
            width: 180,
            cell: (alias) =>
              alias.model === model.uuid ? (
                t`this version`
              ) : (
                <AnchorLink
                  to="/p/$project/models/$model"
                  params={{ project, model: alias.model }}
                  search={{ tab: "aliases" }}
                >
                  {modelLabel({ name: alias.model_name, version: alias.version })}
                </AnchorLink>
              ),
          },
          { id: "reason", header: t`Reason`, cell: ({ reason }) => reason ?? "–" },
          {
            id: "by",
            header: t`Moved by`,
            width: 130,
            cell: ({ moved_by: user }) => <UserName user={user} />,
          },
          {
            id: "when",
            header: t`Moved`,
            width: 120,
            cell: ({ moved_at: time }) => <TimeAgo time={time} />,
          },
          { id: "actions", header: t`Actions`, width: 300, cell: actions },
        ]}
        empty={<Text c="dimmed">{t`No alias points to a version of this model yet.`}</Text>}
      />
      {shown && (
        <section>
          <Title order={2} mt="lg" mb="xs">
            {t`History of @${shown}`}
          </Title>
          <AliasHistory model={model} alias={shown} />
        </section>
      )}
      {change && (
        <AliasDialog
          model={model}
          aliases={aliases}
          change={change}
          onClose={() => setChange(null)}
        />
      )}
    </>
  );
}
