import { useLingui } from "@lingui/react/macro";
import { SimpleGrid, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { metricDetailOptions, taskMetricsOptions } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";
import { Chart } from "@/design/chart/Chart";
import { ChartToolbar } from "@/design/chart/ChartToolbar";
import type { ChartSearch } from "@/design/chart/search";
import { useChartSearch } from "@/design/chart/useChartSearch";
import { useVisibleSteps } from "@/design/chart/useVisibleSteps";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { panels, refined } from "./metrics";

interface Props {
  task: TaskDetail;
  search: ChartSearch;
  onSearch: (search: ChartSearch) => void;
}

/** The curves of a task; they grow while it runs. */
export function TaskCurves({ task, search, onSearch }: Props) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(taskMetricsOptions(task.uuid));
  const { settings, setSettings, x, setX, hidden, toggle } = useChartSearch(search, onSearch);
  const { steps, onZoom } = useVisibleSteps(x);
  const detail = useQuery(metricDetailOptions(task.uuid, steps)).data;
  const start = Date.parse(task.started_at ?? task.created_at) / 1000;
  const charts = useMemo(
    () => (data ? panels(steps ? refined(data, detail) : data, x, start) : []),
    [data, detail, steps, x, start],
  );
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  if (charts.length === 0)
    return (
      <Text c="dimmed">
        {task.completed_at
          ? t`This task reported no figures.`
          : t`No figures yet. Curves appear with the first step.`}
      </Text>
    );
  return (
    <>
      <ChartToolbar settings={settings} onSettings={setSettings} x={x} onX={setX} />
      <SimpleGrid cols={{ base: 1, lg: 2, xl: 3 }} mt="md" spacing="md">
        {charts.map(({ title, series }) => (
          <Chart
            key={title}
            title={title}
            series={series}
            x={x}
            settings={settings}
            sync={task.uuid}
            hidden={hidden}
            onToggle={toggle}
            onZoom={onZoom}
          />
        ))}
      </SimpleGrid>
    </>
  );
}
