import { useLingui } from "@lingui/react/macro";
import { SimpleGrid, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { chartDetailOptions, chartsOptions } from "@/api/experiments";
import { Chart } from "@/design/chart/Chart";
import { ChartToolbar } from "@/design/chart/ChartToolbar";
import type { ChartSearch } from "@/design/chart/search";
import { useChartSearch } from "@/design/chart/useChartSearch";
import { useVisibleSteps } from "@/design/chart/useVisibleSteps";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { type CurveItem, curvePanels, mostImportant, refined, SPEED } from "./curves";

interface Props {
  project: string;
  items: readonly CurveItem[];
  keys: readonly string[];
  /** Whether one of the runs still reports. */
  live: boolean;
  search: ChartSearch;
  onSearch: (search: ChartSearch) => void;
}

/** The curves of several runs, one chart for each metric; zoom and cursor are shared. */
export function RunCurves({ project, items, keys: all, live, search, onSearch }: Props) {
  const { t } = useLingui();
  const tasks = items.map((item) => item.task);
  const keys = useMemo(() => mostImportant(all), [all]);
  const { data, error, refetch } = useQuery(chartsOptions(project, keys, tasks, live));
  const { settings, setSettings, x, setX, hidden, toggle } = useChartSearch(search, onSearch);
  const { steps, onZoom } = useVisibleSteps(x);
  const detail = useQuery(chartDetailOptions(project, keys, tasks, steps)).data;
  const panels = useMemo(() => {
    if (!data) return [];
    const charts = steps ? refined(data.charts, detail?.charts) : data.charts;
    return curvePanels(charts, keys, items, x);
  }, [data, detail, steps, keys, items, x]);
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (keys.length === 0 || items.length === 0)
    return <Text c="dimmed">{t`No figures yet. Curves appear with the first step of a run.`}</Text>;
  if (!data) return <PageSkeleton />;
  return (
    <>
      <ChartToolbar
        settings={settings}
        onSettings={setSettings}
        x={x}
        onX={setX}
        withTokens={keys.includes(SPEED)}
      />
      <SimpleGrid cols={{ base: 1, lg: 2, xl: 3 }} mt="md" spacing="md">
        {panels.map(({ title, series }) => (
          <Chart
            key={title}
            title={title}
            series={series}
            x={x}
            settings={settings}
            height={240}
            sync={tasks.join()}
            hidden={hidden}
            onToggle={toggle}
            onZoom={onZoom}
          />
        ))}
      </SimpleGrid>
      {all.length > keys.length && (
        <Text c="dimmed" size="sm" mt="md">
          {t`${keys.length} of ${all.length} metrics are drawn.`}
        </Text>
      )}
      {panels.length === 0 && (
        <Text c="dimmed" mt="md">
          {t`None of these runs can be drawn over this axis. Choose steps.`}
        </Text>
      )}
    </>
  );
}
