import { Plural, useLingui } from "@lingui/react/macro";
import { Stack, Text, Title } from "@mantine/core";
import { IconFolders } from "@tabler/icons-react";
import { useQueries, useQuery } from "@tanstack/react-query";
import { notificationsOptions } from "@/api/notifications";
import { projectParam, projectsOptions } from "@/api/projects";
import { useCan, useMe } from "@/api/session";
import { recentTasksOptions, workersOptions } from "@/api/tasks";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { TableSkeleton } from "@/design/Skeletons";
import { TimeAgo } from "@/design/values";
import { TaskRows } from "@/pages/tasks/TaskRows";
import classes from "./HomePage.module.css";
import { WorkersGlance } from "./WorkersGlance";

/** How many projects the home page looks into. */
const PROJECTS = 6;

/** What runs, and what happened since: the page that one opens in the morning. */
export function HomePage() {
  const { t } = useLingui();
  const me = useMe();
  const can = useCan();
  const projects = useQuery(projectsOptions());
  const news = useQuery(notificationsOptions(8));
  const seesWorkers = can("settings:read");
  const workers = useQuery({ ...workersOptions, enabled: seesWorkers });
  const shown = (projects.data?.items ?? [])
    .filter(({ status }) => status === "active")
    .slice(0, PROJECTS);
  const running = useQueries({
    queries: shown.map((project) => ({
      ...recentTasksOptions(project.uuid, { status: "running" as const }, 10),
      retry: false,
      refetchInterval: 15_000,
    })),
  });
  const total = running.reduce((sum, query) => sum + (query.data?.items.length ?? 0), 0);
  return (
    <>
      <PageHeader
        title={t`Hello, ${me.username}`}
        lead={
          projects.data && (
            <Plural
              value={total}
              _0="Nothing is running at the moment."
              one="# task is running."
              other="# tasks are running."
            />
          )
        }
      />
      <ErrorNotice error={projects.error} onRetry={() => void projects.refetch()} />
      {projects.isPending && <TableSkeleton rows={5} />}
      {projects.data?.items.length === 0 && (
        <EmptyState
          icon={<IconFolders size={32} stroke={1.5} />}
          title={t`Begin with a project`}
          action={<ButtonLink to="/projects">{t`Create a project`}</ButtonLink>}
        >
          {t`A project keeps the datasets, trainings and models of one purpose together. Create one, upload a dataset, and fine-tune your first model on it.`}
        </EmptyState>
      )}
      <div className={classes.columns}>
        <Stack gap="lg">
          {shown.map((project, index) => {
            const tasks = running[index]?.data?.items ?? [];
            return (
              <section key={project.uuid}>
                <Title order={2} mb="xs">
                  <AnchorLink
                    to="/p/$project"
                    params={{ project: projectParam(project) }}
                    c="inherit"
                  >
                    {project.name}
                  </AnchorLink>
                </Title>
                {tasks.length > 0 ? (
                  <TaskRows tasks={tasks} project={projectParam(project)} />
                ) : (
                  <Text size="sm" c="dimmed">
                    {project.description || t`Nothing is running here.`}
                  </Text>
                )}
              </section>
            );
          })}
        </Stack>
        <Stack gap="lg">
          {workers.data && <WorkersGlance workers={workers.data.items} />}
          <section>
            <Title order={2} mb="sm">{t`What happened`}</Title>
            {news.data?.items.map((item) => (
              <div key={item.uuid} className={classes.news}>
                <Text size="sm" fw={item.is_read ? 400 : 600}>
                  {item.title}
                </Text>
                <span className="secondary">
                  <TimeAgo time={item.created_at} />
                </span>
              </div>
            ))}
            {news.data?.items.length === 0 && (
              <Text size="sm" c="dimmed">
                {t`Tasks that end, invitations and changes to your account appear here.`}
              </Text>
            )}
          </section>
        </Stack>
      </div>
    </>
  );
}
