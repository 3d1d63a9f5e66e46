import { useLingui } from "@lingui/react/macro";
import { SimpleGrid, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { taskUsageOptions, telemetryOptions } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";
import { Chart } from "@/design/chart/Chart";
import { readPoints } from "@/design/chart/series";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { formatDuration, formatNumber } from "@/design/format";
import { PageSkeleton } from "@/design/Skeletons";

/** What a task takes of its machine, measured from outside. */
export function TaskResources({ task }: { task: TaskDetail }) {
  const { t, i18n } = useLingui();
  const { data, error, refetch } = useQuery(telemetryOptions(task.uuid, task.status === "running"));
  const usage = useQuery(taskUsageOptions(task.uuid)).data;
  const names: Record<string, string> = {
    cpu_percent: t`CPU, % of a core`,
    memory_mb: t`Memory, MiB`,
    read_mb_s: t`Reads, MB/s`,
    write_mb_s: t`Writes, MB/s`,
    processes: t`Processes`,
    percent: t`Utilisation, %`,
    power_w: t`Power, W`,
    temperature_c: t`Temperature, °C`,
  };
  const label = (key: string) => {
    const [gpu, part] = key.startsWith("gpu") ? key.split(".") : [null, key];
    const name = names[part ?? key] ?? part ?? key;
    return gpu ? `${gpu.toUpperCase()} · ${name}` : name;
  };
  const charts = useMemo(() => {
    const series = data?.series ?? {};
    return Object.keys(series)
      .filter((key) => !key.endsWith("_total") && !key.endsWith("throttled"))
      .sort()
      .map((key) => ({ key, points: readPoints(series[key] ?? [], (point) => Number(point[0])) }));
  }, [data]);
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return (
    <>
      {usage && (
        <Figures
          items={[
            { label: t`Time on workers`, value: formatDuration(usage.seconds, i18n.locale) },
            {
              label: t`CPU hours`,
              value: formatNumber(usage.cpu_hours, i18n.locale, { maximumFractionDigits: 2 }),
            },
            {
              label: t`GPU hours`,
              value: formatNumber(usage.gpu_hours, i18n.locale, { maximumFractionDigits: 2 }),
            },
            ...(usage.cost === null
              ? []
              : [
                  {
                    label: t`Cost`,
                    value: `${formatNumber(usage.cost, i18n.locale, { maximumFractionDigits: 2 })} ${usage.currency}`,
                  },
                ]),
          ]}
        />
      )}
      {charts.length === 0 && <Text c="dimmed">{t`Nothing has been measured yet.`}</Text>}
      <SimpleGrid cols={{ base: 1, lg: 2, xl: 3 }} spacing="md">
        {charts.map(({ key, points }, index) => (
          <Chart
            key={key}
            title={label(key)}
            x="time"
            height={150}
            sync={`${task.uuid}-telemetry`}
            series={[{ key, label: label(key), points, color: (index % 10) + 1 }]}
          />
        ))}
      </SimpleGrid>
    </>
  );
}
