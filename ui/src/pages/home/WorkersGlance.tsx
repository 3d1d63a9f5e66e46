import { Plural, useLingui } from "@lingui/react/macro";
import { Progress, Text, Title } from "@mantine/core";
import type { Worker } from "@/api/types";
import { formatNumber } from "@/design/format";

interface Props {
  workers: readonly Worker[];
  /** How many tasks wait. */
  waiting: number;
}

/** How much of the machines is in use, and how many tasks wait for them, at a glance. */
export function WorkersGlance({ workers, waiting }: Props) {
  const { t, i18n } = useLingui();
  const alive = workers.filter((worker) => worker.alive);
  const gpus = alive.flatMap((worker) => worker.devices);
  const busy = gpus.filter((device) => device.task !== null).length;
  const cpus = alive.reduce((sum, worker) => sum + worker.cpus, 0);
  const free = alive.reduce((sum, worker) => sum + worker.cpus_free, 0);
  const round = (value: number) => formatNumber(value, i18n.locale, { maximumFractionDigits: 1 });
  const bars = [
    { label: t`CPU cores`, used: cpus - free, of: cpus },
    ...(gpus.length > 0 ? [{ label: t`GPUs`, used: busy, of: gpus.length }] : []),
  ];
  return (
    <section>
      <Title order={2} mb="sm">{t`Machines`}</Title>
      <Text size="sm" mb="xs">
        <Plural
          value={waiting}
          _0="The queue is empty."
          one="# task waits in the queue."
          other="# tasks wait in the queue."
        />
      </Text>
      {alive.length === 0 && (
        <Text size="sm">{t`No worker is running: nothing that is submitted will start.`}</Text>
      )}
      {alive.length > 0 &&
        bars.map(({ label, used, of }) => (
          <div key={label}>
            <Text size="sm" mb={4}>
              {t`${label}: ${round(used)} of ${round(of)} reserved`}
            </Text>
            <Progress value={of > 0 ? (used / of) * 100 : 0} size="sm" mb="sm" aria-label={label} />
          </div>
        ))}
    </section>
  );
}
