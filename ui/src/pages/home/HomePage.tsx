import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Stack, Title } from "@mantine/core";
import { IconFolders } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type HomeTask, useHomeTasks } from "@/api/home";
import { projectParam, projectsOptions } from "@/api/projects";
import { useCan, useMe } from "@/api/session";
import { refreshTasks, workersOptions } from "@/api/tasks";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ProjectLink } from "@/design/refs";
import { TableSkeleton } from "@/design/Skeletons";
import { useLive } from "@/live/live";
import { keptFirstRun } from "@/pages/first-run/search";
import { Invitations } from "@/pages/inbox/Invitations";
import { TaskRows } from "@/pages/tasks/TaskRows";
import { EndedTasks } from "./EndedTasks";
import { FirstRunCard } from "./FirstRunCard";
import classes from "./HomePage.module.css";
import { useLastVisit } from "./lastVisit";
import { News } from "./News";
import { RecentModels } from "./RecentModels";
import { WorkersGlance } from "./WorkersGlance";

/** A newcomer has seen fewer tasks than the first run makes. */
const NEWCOMER = 8;
const RECENT = 6;

/** What runs, and what happened since the last visit: the page that one opens in the morning. */
export function HomePage() {
  const { t } = useLingui();
  const me = useMe();
  const can = useCan();
  const queries = useQueryClient();
  const since = useLastVisit(me.uuid);
  const projects = useQuery(projectsOptions());
  const workers = useQuery({ ...workersOptions, enabled: can("settings:read") });
  const all = projects.data?.items ?? [];
  const { tasks, pending } = useHomeTasks(all);
  // A task of one's own that ends is told as a notification.
  useLive(
    ["notifications"],
    (event) => event.event === "notification" && void refreshTasks(queries),
    () => void refreshTasks(queries),
  );

  const active = tasks.filter(({ task }) => task.completed_at === null);
  const ended = tasks.filter(({ task }) => task.completed_at !== null);
  const fresh = ended.filter(
    ({ task }) => since !== null && Date.parse(task.completed_at ?? "") > since,
  );
  const loaded = projects.data !== undefined && !pending;
  const begun = keptFirstRun(me.uuid);
  const newcomer = loaded && (tasks.length < NEWCOMER || (begun && !begun.deployment));
  return (
    <>
      <PageHeader
        title={t`Hello, ${me.username}`}
        here={t`Home`}
        lead={loaded && <Lead active={active} fresh={fresh} />}
      />
      <ErrorNotice error={projects.error} onRetry={() => void projects.refetch()} />
      <Invitations />
      {newcomer && can("projects:write") && <FirstRunCard user={me.uuid} />}
      <div className={classes.columns}>
        <Stack gap="xl">
          {!loaded && !projects.error && <TableSkeleton rows={5} />}
          {projects.data && all.length === 0 && <NoProject mayCreate={can("projects:write")} />}
          {active.length > 0 && <Running active={active} />}
          {fresh.length > 0 && (
            <section>
              <Title order={2} mb="xs">{t`Since your last visit`}</Title>
              <EndedTasks ended={fresh} />
            </section>
          )}
          {loaded && fresh.length === 0 && ended.length > 0 && (
            <section>
              <Title order={2} mb="xs">{t`Recently ended`}</Title>
              <EndedTasks ended={ended.slice(0, RECENT)} />
            </section>
          )}
        </Stack>
        <Stack gap="xl">
          {workers.data && (
            <WorkersGlance
              workers={workers.data.items}
              waiting={active.filter(({ task }) => task.status === "pending").length}
            />
          )}
          <RecentModels projects={all} />
          <News />
        </Stack>
      </div>
    </>
  );
}

/** What runs and waits, and what has ended since the last visit, in one sentence or two. */
function Lead({ active, fresh }: { active: readonly HomeTask[]; fresh: readonly HomeTask[] }) {
  const running = active.filter(({ task }) => task.status === "running").length;
  const waiting = active.filter(({ task }) => task.status === "pending").length;
  const failed = fresh.filter(({ task }) => task.status === "failed").length;
  return (
    <>
      <Trans>
        <Plural
          value={running}
          _0="Nothing is running"
          one="# task is running"
          other="# tasks are running"
        />
        <Plural value={waiting} _0=", none waits" one=", # waits" other=", # wait" />.
      </Trans>{" "}
      {fresh.length > 0 && (
        <Trans>
          Since your last visit{" "}
          <Plural value={fresh.length} one="# task has ended" other="# tasks have ended" />
          <Plural
            value={failed}
            _0=", none of them failed"
            one=", # of them failed"
            other=", # of them failed"
          />
          .
        </Trans>
      )}
    </>
  );
}

/** What runs and waits now, project by project. */
function Running({ active }: { active: readonly HomeTask[] }) {
  const projects = [...new Map(active.map(({ project }) => [project.uuid, project])).values()];
  return projects.map((project) => (
    <section key={project.uuid}>
      <Title order={2} mb="xs">
        <ProjectLink uuid={project.uuid} name={project.name} />
      </Title>
      <TaskRows
        tasks={active.filter((one) => one.project.uuid === project.uuid).map(({ task }) => task)}
        project={projectParam(project)}
      />
    </section>
  ));
}

function NoProject({ mayCreate }: { mayCreate: boolean }) {
  const { t } = useLingui();
  return (
    <EmptyState
      icon={<IconFolders size={32} stroke={1.5} />}
      title={mayCreate ? t`Begin with a project` : t`No project yet`}
      action={
        mayCreate && (
          <ButtonLink to="/projects" search={{ create: true }}>{t`Create a project`}</ButtonLink>
        )
      }
    >
      {mayCreate
        ? t`A project keeps the datasets, trainings and models of one purpose together. Create one, upload a dataset, and fine-tune your first model on it.`
        : t`A project keeps the datasets, trainings and models of one purpose together. Somebody who manages one can invite you; the invitation appears here.`}
    </EmptyState>
  );
}
