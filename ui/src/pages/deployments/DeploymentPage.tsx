import { Trans, useLingui } from "@lingui/react/macro";
import { Alert, Tabs, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { deploymentOptions } from "@/api/deployments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { taskOptions } from "@/api/tasks";
import type { Deployment } from "@/api/types";
import { Code } from "@/design/Code";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ModelLink, TaskLink, UserName } from "@/design/refs";
import { TableSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { Id, Num, TimeAgo } from "@/design/values";
import { TaskLead } from "@/pages/tasks/TaskLead";
import { TaskLog } from "@/pages/tasks/TaskLog";
import { useLiveTask } from "@/pages/tasks/useLiveTask";
import { DeploymentActions } from "./DeploymentActions";
import { Endpoint } from "./Endpoint";
import type { DeploymentSearch, DeploymentTab } from "./search";
import { useLiveDeployments } from "./useLiveDeployments";

interface Props {
  uuid: string;
  search: DeploymentSearch;
  onSearch: (search: DeploymentSearch) => void;
}

/** One deployment: whether it answers, how to ask it, and what its server says. */
export function DeploymentPage({ uuid, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const deployment = useSuspenseQuery(deploymentOptions(uuid)).data;
  useLiveDeployments();
  const seesTasks = can("tasks:read");
  const tab = search.tab ?? "endpoint";
  const { model, model_name: modelName, task, updating } = deployment;
  return (
    <>
      <PageHeader
        title={deployment.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="deployments" to="/p/$project/deployments" params={{ project: param }}>
            {t`Deployments`}
          </AnchorLink>,
        ]}
        aside={<Status status={deployment.status} />}
        lead={<DeploymentLead deployment={deployment} seesTasks={seesTasks} />}
        actions={<DeploymentActions deployment={deployment} />}
      />
      {deployment.error && (
        <Alert color="red" variant="outline" mb="md" title={t`Why the last run ended`}>
          {deployment.error}
        </Alert>
      )}
      {updating && (
        <Alert color="gray" variant="outline" mb="md" title={t`An update is in progress`}>
          <Text size="sm">
            <Trans>
              {updating.model_name ?? "–"} starts beside the current model, which answers until
              then. To give the update up, cancel its task.
            </Trans>
          </Text>
          {updating.task && seesTasks && (
            <TaskLink uuid={updating.task} name={t`Task of the update`} />
          )}
        </Alert>
      )}
      {deployment.update_error && !updating && (
        <Alert color="yellow" variant="outline" mb="md" title={t`The last update failed`}>
          {deployment.update_error}
        </Alert>
      )}
      <Figures
        items={[
          {
            label: t`Model`,
            value:
              model && modelName ? <ModelLink uuid={model} name={modelName} /> : (modelName ?? "–"),
          },
          ...(deployment.follows
            ? [{ label: t`Follows the alias`, value: deployment.follows }]
            : []),
          { label: t`Engine`, value: deployment.options.engine },
          { label: t`Restarts`, value: <Num value={deployment.restarts} /> },
          { label: t`Author`, value: <UserName user={deployment.author} /> },
          { label: t`Changed`, value: <TimeAgo time={deployment.updated_at} /> },
          { label: t`Id`, value: <Id value={deployment.uuid} /> },
        ]}
      />
      <Tabs
        value={tab}
        onChange={(value) => onSearch({ tab: (value ?? undefined) as DeploymentTab | undefined })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="endpoint">{t`Use it`}</Tabs.Tab>
          {seesTasks && <Tabs.Tab value="log">{t`Log`}</Tabs.Tab>}
          <Tabs.Tab value="settings">{t`Settings`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="endpoint">
          <Endpoint deployment={deployment} />
        </Tabs.Panel>
        {seesTasks && (
          <Tabs.Panel value="log">
            {task ? (
              <DeploymentLog
                key={task}
                task={task}
                line={search.line}
                onLine={(line) => onSearch({ tab, line })}
              />
            ) : (
              <Text c="dimmed">{t`It has not run yet.`}</Text>
            )}
          </Tabs.Panel>
        )}
        <Tabs.Panel value="settings">
          <Code label={t`Settings`}>
            {JSON.stringify(
              {
                options: deployment.options,
                resources: deployment.resources,
                queue: deployment.queue,
              },
              null,
              2,
            )}
          </Code>
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

/** The one sentence that says how the deployment stands. */
function DeploymentLead(props: { deployment: Deployment; seesTasks: boolean }) {
  const { deployment, seesTasks } = props;
  const { t } = useLingui();
  const waits = ["starting", "restarting"].includes(deployment.status);
  switch (deployment.status) {
    case "ready":
      return <>{t`It answers requests.`}</>;
    case "stopping":
      return <>{t`It is being stopped; answers in progress end.`}</>;
    case "stopped":
      return <>{t`It is stopped and keeps its name. Start it to get answers again.`}</>;
    case "crashed":
      return (
        <>{t`Its server ended too often. The log says why; restart it when the cause is gone.`}</>
      );
    default:
      return waits && deployment.task && seesTasks ? (
        <Waiting task={deployment.task} />
      ) : (
        t`Its server loads the model; it answers as soon as it is ready.`
      );
  }
}

/** Why a deployment that starts is not ready yet. */
function Waiting({ task: uuid }: { task: string }) {
  const { t } = useLingui();
  const task = useQuery(taskOptions(uuid)).data;
  useLiveTask(uuid, task?.completed_at != null);
  if (task?.waiting) return <TaskLead task={task} />;
  return <>{t`Its server loads the model; it answers as soon as it is ready.`}</>;
}

interface LogProps {
  task: string;
  line: string | undefined;
  onLine: (line: string) => void;
}

/** The log of the present or last run. */
function DeploymentLog({ task: uuid, line, onLine }: LogProps) {
  const task = useQuery(taskOptions(uuid)).data;
  useLiveTask(uuid, task?.completed_at != null);
  return task ? <TaskLog task={task} line={line} onLine={onLine} /> : <TableSkeleton rows={14} />;
}
