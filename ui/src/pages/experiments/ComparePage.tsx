import { Plural, useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { IconArrowsDiff } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { comparisonOptions } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import classes from "./Compare.module.css";
import { CompareTable } from "./CompareTable";
import { curveItems, isLive } from "./curves";
import { RunChooser } from "./RunChooser";
import { RunCurves } from "./RunCurves";
import type { CompareSearch } from "./search";

interface Props {
  search: CompareSearch;
  onSearch: (search: CompareSearch) => void;
}

/** Runs or experiments side by side: what differs, their metrics, and their curves. */
export function ComparePage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const runs = search.run ?? [];
  const experiments = search.experiment ?? [];
  const enough = runs.length + experiments.length > 0;
  const { data, error, refetch } = useQuery({
    ...comparisonOptions(project.uuid, runs, experiments),
    enabled: enough,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => (isLive(state.data?.items ?? []) ? 10_000 : false),
  });
  const items = useMemo(() => curveItems(data?.items ?? []), [data]);
  const live = isLive(data?.items ?? []);
  const differing = Object.keys(data?.differs ?? {}).length;
  const same = data?.same ?? {};
  const common = Object.fromEntries(
    Object.entries(same).map(([path, value]) => [path, (data?.items ?? []).map(() => value)]),
  );
  return (
    <>
      <PageHeader
        title={t`Comparison`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="list" to="/p/$project/experiments" params={{ project: param }}>
            {t`Experiments`}
          </AnchorLink>,
        ]}
        lead={
          data && (
            <Plural
              value={differing}
              _0="The configurations are the same."
              one="The configurations differ in # setting."
              other="The configurations differ in # settings."
            />
          )
        }
      />
      <RunChooser
        chosen={runs}
        known={data?.items ?? []}
        onChange={(run) => onSearch({ ...search, run: run.length > 0 ? run : undefined })}
      />
      {!enough && (
        <EmptyState
          icon={<IconArrowsDiff size={32} stroke={1.5} />}
          title={t`Nothing to compare yet`}
          action={
            <ButtonLink
              to="/p/$project/experiments"
              params={{ project: param }}
              search={{ view: "runs" }}
            >
              {t`Choose runs`}
            </ButtonLink>
          }
        >
          {t`Select two or more runs or experiments in the list, with x or the boxes, and choose Compare.`}
        </EmptyState>
      )}
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {enough && !data && !error && <PageSkeleton />}
      {enough && data && (
        <>
          <section>
            <Title order={2} mb="sm">{t`Differences`}</Title>
            {differing > 0 ? (
              <CompareTable
                label={t`Differences`}
                head={t`Setting`}
                items={data.items}
                values={data.differs}
              />
            ) : (
              <Text c="dimmed">{t`No setting differs.`}</Text>
            )}
            {Object.keys(common).length > 0 && (
              <details className={classes.folded}>
                <summary>
                  <Plural
                    value={Object.keys(common).length}
                    one="# setting is the same"
                    other="# settings are the same"
                  />
                </summary>
                <CompareTable
                  label={t`Common settings`}
                  head={t`Setting`}
                  items={data.items}
                  values={common}
                />
              </details>
            )}
          </section>
          <section className={classes.section}>
            <Title order={2} mb="sm">{t`Metrics`}</Title>
            {Object.keys(data.metrics).length > 0 ? (
              <CompareTable
                label={t`Metrics`}
                head={t`Metric`}
                items={data.items}
                values={data.metrics}
                best
              />
            ) : (
              <Text c="dimmed">{t`Metrics appear when a run has ended.`}</Text>
            )}
          </section>
          {can("tasks:read") && (
            <section className={classes.section}>
              <Title order={2} mb="sm">{t`Curves`}</Title>
              <RunCurves
                project={project.uuid}
                items={items}
                keys={data.series}
                live={live}
                search={search}
                onSearch={(charts) => onSearch({ ...search, ...charts })}
              />
            </section>
          )}
        </>
      )}
    </>
  );
}
