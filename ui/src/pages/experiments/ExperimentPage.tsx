import { Plural, useLingui } from "@lingui/react/macro";
import { Alert, Tabs, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import {
  experimentOptions,
  experimentRunsOptions,
  experimentSummariesOptions,
} from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ExperimentLink, ModelLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { Id, Metric, TimeAgo } from "@/design/values";
import { ExperimentActions } from "./ExperimentActions";
import { ExperimentRuns } from "./ExperimentRuns";
import { NoteEditor } from "./NoteEditor";
import { RunCurves } from "./RunCurves";
import { type ExperimentSearch, type ExperimentTab, MOST } from "./search";
import { TagEditor } from "./TagEditor";
import { useLiveRuns } from "./useLiveRuns";

interface Props {
  uuid: string;
  search: ExperimentSearch;
  onSearch: (search: ExperimentSearch) => void;
}

const NONE: never[] = [];
const ENDED = ["completed", "failed", "cancelled"];

/** One experiment: its runs, their curves, its configuration and what was noted about it. */
export function ExperimentPage({ uuid, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const experiment = useSuspenseQuery(experimentOptions(uuid)).data;
  const original = useQuery({
    ...experimentOptions(experiment.cloned_from ?? ""),
    enabled: experiment.cloned_from !== null,
    retry: false,
  }).data;
  const runs = useQuery(experimentRunsOptions(uuid));
  const live = (runs.data?.items ?? []).some((run) => !ENDED.includes(run.status));
  const readsFigures = can("tasks:read");
  const figures = useQuery({
    ...experimentSummariesOptions(project.uuid, uuid, live),
    enabled: readsFigures,
  });
  useLiveRuns(runs.data?.items ?? NONE);
  const summaries = useMemo(
    () => new Map(figures.data?.tasks.map((item) => [item.task, item.metrics])),
    [figures.data],
  );
  const keys = useMemo(
    () => [...new Set([...summaries.values()].flatMap((metrics) => Object.keys(metrics)))].sort(),
    [summaries],
  );
  const shown = runs.data?.items;
  const items = useMemo(
    () =>
      (shown ?? [])
        .filter((run) => summaries.has(run.uuid))
        .slice(0, MOST)
        .map((run, index) => ({ task: run.uuid, label: run.name, color: (index % 10) + 1 })),
    [shown, summaries],
  );
  const count = shown?.length ?? 0;
  const { base_model: model, eval_dataset: heldOut } = experiment.config;
  const { metrics } = experiment;
  const reward = metrics.eval_mean_reward ?? metrics.mean_reward_last;
  const loss = metrics.eval_loss ?? metrics.train_loss_last ?? metrics.loss;
  return (
    <>
      <PageHeader
        title={experiment.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="list" to="/p/$project/experiments" params={{ project: param }}>
            {t`Experiments`}
          </AnchorLink>,
        ]}
        aside={<Status status={experiment.archived_at ? "archived" : experiment.status} />}
        lead={
          experiment.description ?? (
            <Plural value={count} _0="Not run yet." one="# run" other="# runs" />
          )
        }
        actions={<ExperimentActions experiment={experiment} />}
      />
      {experiment.archived_at && (
        <Alert color="gray" variant="outline" mb="md">
          {t`This experiment is archived: it is not listed by default and starts no runs.`}
        </Alert>
      )}
      <Figures
        items={[
          {
            label: t`Base model`,
            value:
              typeof model === "string" ? (
                <ModelLink uuid={model} name={experiment.base_model ?? model.slice(0, 8)} />
              ) : (
                (experiment.base_model ?? "–")
              ),
          },
          // The loss of a training that learns from rewards says nothing about its quality.
          typeof reward === "number"
            ? {
                label: heldOut ? t`Best held-out mean reward` : t`Best mean reward`,
                value: <Metric value={reward} />,
              }
            : {
                label: heldOut ? t`Best held-out loss` : t`Best loss`,
                value: <Metric value={typeof loss === "number" ? loss : null} />,
              },
          { label: t`Author`, value: <UserName user={experiment.author} /> },
          { label: t`Created`, value: <TimeAgo time={experiment.created_at} /> },
          ...(experiment.cloned_from
            ? [
                {
                  label: t`Cloned from`,
                  value: (
                    <ExperimentLink
                      uuid={experiment.cloned_from}
                      name={original?.name ?? experiment.cloned_from.slice(0, 8)}
                    />
                  ),
                },
              ]
            : []),
          { label: t`Id`, value: <Id value={experiment.uuid} /> },
        ]}
      />
      <TagEditor experiment={experiment} />
      <Tabs
        mt="md"
        value={search.tab ?? "runs"}
        onChange={(tab) =>
          onSearch({ ...search, tab: (tab ?? undefined) as ExperimentTab | undefined })
        }
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="runs">{t`Runs`}</Tabs.Tab>
          {readsFigures && <Tabs.Tab value="curves">{t`Curves`}</Tabs.Tab>}
          <Tabs.Tab value="config">{t`Configuration`}</Tabs.Tab>
          <Tabs.Tab value="note">{t`Note`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="runs">
          <ErrorNotice error={runs.error} onRetry={() => void runs.refetch()} />
          {!runs.error && <ExperimentRuns runs={shown} summaries={summaries} keys={keys} />}
        </Tabs.Panel>
        <Tabs.Panel value="curves">
          {count > MOST && (
            <Text c="dimmed" size="sm" mb="sm">{t`The curves of the newest ${MOST} runs.`}</Text>
          )}
          <RunCurves
            project={project.uuid}
            items={items}
            keys={keys}
            live={live}
            search={search}
            onSearch={(charts) => onSearch({ ...search, ...charts })}
          />
        </Tabs.Panel>
        <Tabs.Panel value="config">
          <Code label={t`Configuration`}>{JSON.stringify(experiment.config, null, 2)}</Code>
        </Tabs.Panel>
        <Tabs.Panel value="note">
          <NoteEditor experiment={experiment} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
