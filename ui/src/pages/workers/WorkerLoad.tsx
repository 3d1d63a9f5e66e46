import { useLingui } from "@lingui/react/macro";
import { Group, SegmentedControl, SimpleGrid, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { workerTelemetryOptions } from "@/api/workers";
import { Chart } from "@/design/chart/Chart";
import { readPoints } from "@/design/chart/series";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import type { Range } from "./search";

interface Props {
  uuid: string;
  range: Range;
  onRange: (range: Range) => void;
}

const HOURS: Record<Range, number> = { "1h": 1, "6h": 6, "1d": 24, "7d": 168 };
const HOUR = 3_600_000;

/** The measured load of a machine over time. */
export function WorkerLoad({ uuid, range, onRange }: Props) {
  const { t } = useLingui();
  // Whole minutes, so that looking again does not ask for another series.
  const since = useMemo(
    () => new Date(Math.floor((Date.now() - HOURS[range] * HOUR) / 60_000) * 60_000).toISOString(),
    [range],
  );
  const { data, error, refetch } = useQuery(workerTelemetryOptions(uuid, since));
  const label = useSeriesLabel();
  const charts = useMemo(() => {
    const series = data?.series ?? {};
    return Object.keys(series)
      .filter((key) => !key.endsWith("_total") && !key.endsWith("throttled"))
      .sort()
      .map((key) => ({ key, points: readPoints(series[key] ?? [], (point) => Number(point[0])) }));
  }, [data]);
  return (
    <section>
      <Group justify="space-between" my="md">
        <Title order={2}>{t`Load`}</Title>
        <SegmentedControl
          size="xs"
          aria-label={t`Time`}
          value={range}
          onChange={(value) => onRange(value as Range)}
          data={[
            { value: "1h", label: t`1 hour` },
            { value: "6h", label: t`6 hours` },
            { value: "1d", label: t`1 day` },
            { value: "7d", label: t`7 days` },
          ]}
        />
      </Group>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && !data && <PageSkeleton />}
      {data?.note && (
        <Text size="sm" c="dimmed">
          {t`This machine has no GPU.`}
        </Text>
      )}
      {data && charts.length === 0 && (
        <Text c="dimmed">{t`Nothing was measured in this time.`}</Text>
      )}
      <SimpleGrid cols={{ base: 1, lg: 2, xl: 3 }} spacing="md">
        {charts.map(({ key, points }, index) => (
          <Chart
            key={key}
            title={label(key)}
            x="time"
            height={150}
            sync={`${uuid}-load`}
            series={[{ key, label: label(key), points, color: (index % 10) + 1 }]}
          />
        ))}
      </SimpleGrid>
    </section>
  );
}

function useSeriesLabel(): (key: string) => string {
  const { t } = useLingui();
  const names: Record<string, string> = {
    cpu_percent: t`CPU, % of all cores`,
    memory_mb: t`Memory, MiB`,
    memory_percent: t`Memory, %`,
    load_1m: t`Load average of a minute`,
    disk_percent: t`Disk full, %`,
    disk_read_mb_s: t`Disk reads, MB/s`,
    disk_write_mb_s: t`Disk writes, MB/s`,
    net_in_mb_s: t`Network in, MB/s`,
    net_out_mb_s: t`Network out, MB/s`,
    percent: t`Utilisation, %`,
    power_w: t`Power, W`,
    temperature_c: t`Temperature, °C`,
  };
  return (key) => {
    const [gpu, part] = key.startsWith("gpu") ? key.split(".") : [null, key];
    const name = names[part ?? key] ?? part ?? key;
    return gpu ? `${gpu.toUpperCase()} · ${name}` : name;
  };
}
