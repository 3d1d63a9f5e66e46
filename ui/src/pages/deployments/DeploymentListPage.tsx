import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, TextInput } from "@mantine/core";
import { IconPlus, IconRocket, IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type DeploymentAction, useDeploymentAction, useDeployments } from "@/api/deployments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import type { Deployment } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import { DataTable } from "@/design/table/DataTable";
import { mayDo } from "./actions";
import { useDeploymentColumns } from "./columns";
import type { DeploymentListSearch } from "./search";
import { useLiveDeployments } from "./useLiveDeployments";

interface Props {
  search: DeploymentListSearch;
  onSearch: (search: DeploymentListSearch) => void;
}

/** The project's models that answer requests. */
export function DeploymentListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const columns = useDeploymentColumns();
  const list = useDeployments(project.uuid);
  useLiveDeployments();
  const all = list.data?.pages.flatMap((page) => page.items);
  const words = (search.q ?? "").toLowerCase();
  const rows = all?.filter(({ name, model_name: model }) =>
    `${name} ${model ?? ""}`.toLowerCase().includes(words),
  );
  const ready = all?.filter(({ status }) => status === "ready").length;
  const createButton = can("inference:write") && (
    <ButtonLink
      to="/p/$project/deployments/new"
      params={{ project: param }}
      leftSection={<IconPlus size={15} />}
    >
      {t`Deploy a model`}
    </ButtonLink>
  );
  return (
    <>
      <PageHeader
        title={t`Deployments`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={
          ready !== undefined && (
            <Plural
              value={ready}
              _0="No model answers at the moment."
              one="# model answers."
              other="# models answer."
            />
          )
        }
        actions={createButton}
      />
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={240}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Name or model`}
          aria-label={t`Name or model`}
          value={search.q ?? ""}
          onChange={(event) => onSearch({ ...search, q: event.currentTarget.value || undefined })}
        />
        <Group ml="auto">
          <ColumnMenu
            columns={columns}
            shown={search.columns}
            onChange={(chosen) => onSearch({ ...search, columns: chosen })}
          />
        </Group>
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Deployments`}
          columns={columns}
          shown={search.columns}
          rows={rows}
          rowKey={(deployment) => deployment.uuid}
          onOpen={(deployment) =>
            void navigate({
              to: "/p/$project/deployments/$deployment",
              params: { project: param, deployment: deployment.uuid },
            })
          }
          bulk={
            can("inference:write")
              ? (chosen, clear) => <Bulk deployments={chosen} onDone={clear} />
              : undefined
          }
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconRocket size={32} stroke={1.5} />}
              title={search.q ? t`No deployment matches` : t`No deployments yet`}
              action={
                search.q ? (
                  <Button variant="default" onClick={() => onSearch({ ...search, q: undefined })}>
                    {t`Clear the filters`}
                  </Button>
                ) : (
                  createButton || undefined
                )
              }
            >
              {search.q
                ? t`Try a part of the name of the deployment or of its model.`
                : t`A deployment serves a model under a name, for the playground and for programs that use the OpenAI interface.`}
            </EmptyState>
          }
        />
      )}
    </>
  );
}

/** What can be done with all of the selected deployments. */
function Bulk({ deployments, onDone }: { deployments: Deployment[]; onDone: () => void }) {
  const { t } = useLingui();
  const act = useDeploymentAction();
  const labels: Record<DeploymentAction, string> = {
    start: t`Start`,
    restart: t`Restart`,
    stop: t`Stop`,
  };
  const actions: DeploymentAction[] = ["start", "restart", "stop"];
  const run = async (action: DeploymentAction) => {
    await Promise.allSettled(
      deployments.map(({ uuid }) => act.mutateAsync({ deployment: uuid, action })),
    );
    onDone();
  };
  return (
    <>
      {actions
        .filter((action) => deployments.every((deployment) => mayDo(deployment, action)))
        .map((action) => (
          <Button key={action} variant="default" onClick={() => void run(action)}>
            {labels[action]}
          </Button>
        ))}
    </>
  );
}
