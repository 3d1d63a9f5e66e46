import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { healthOptions } from "@/api/health";
import { useCan } from "@/api/session";
import { workersOptions } from "@/api/tasks";
import type { Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { FormSection } from "@/design/FormSection";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { CleanUp } from "./CleanUp";
import { Licences } from "./Licences";

/** Whether all parts of the platform work, and in which versions. */
export function AboutPage() {
  const { t } = useLingui();
  const can = useCan();
  const health = useQuery(healthOptions);
  const leads: Record<Schema<"Health">["status"], string> = {
    ok: t`All parts of the platform work.`,
    degraded: t`The platform works, but a part of it needs attention.`,
    down: t`The database does not answer; nothing works until it does.`,
  };
  return (
    <>
      <PageHeader title={t`About and health`} lead={health.data && leads[health.data.status]} />
      <ErrorNotice error={health.error} onRetry={() => void health.refetch()} />
      {health.data ? <Parts health={health.data} /> : !health.error && <PageSkeleton />}
      {can("settings:read") && <WorkerVersions />}
      {can("settings:write") && <CleanUp />}
      <Licences />
    </>
  );
}

function Parts({ health }: { health: Schema<"Health"> }) {
  const { t } = useLingui();
  const names: Record<string, { label: string; effect: string }> = {
    database: { label: t`Database`, effect: t`Keeps everything but files.` },
    migrations: { label: t`Schema`, effect: t`Fits the version of the program.` },
    workers: { label: t`Workers`, effect: t`Run tasks; without one, everything waits.` },
    broker: { label: t`Broker`, effect: t`Wakes workers; without it, tasks start later.` },
    uploads: { label: t`Space for uploads`, effect: t`Holds what arrives until it is stored.` },
    storage: { label: t`Storage`, effect: t`Holds datasets, models and files.` },
  };
  return (
    <>
      <Figures
        items={[
          { label: t`Version`, value: health.version },
          {
            label: t`State`,
            value: (
              <Status
                status={{ ok: "active", degraded: "paused", down: "failed" }[health.status]}
                label={
                  { ok: t`Healthy`, degraded: t`Needs attention`, down: t`Down` }[health.status]
                }
              />
            ),
          },
        ]}
      />
      <FormSection title={t`Parts`} description={t`Checked every 15 seconds while you look.`}>
        {Object.entries(health.checks).map(([name, check]) => (
          <div key={name}>
            <Group gap="md">
              <Status status={check.ok ? "active" : "failed"} label={names[name]?.label ?? name} />
              <Text size="sm">{check.detail}</Text>
            </Group>
            <Text size="sm" c="dimmed">
              {names[name]?.effect}
            </Text>
          </div>
        ))}
      </FormSection>
    </>
  );
}

function WorkerVersions() {
  const { t } = useLingui();
  const health = useQuery(healthOptions).data;
  const workers = useQuery(workersOptions).data?.items.filter(({ alive }) => alive) ?? [];
  const versions = new Map<string, number>();
  for (const { version } of workers) versions.set(version, (versions.get(version) ?? 0) + 1);
  return (
    <FormSection
      title={t`Workers`}
      description={t`They may be a version behind while you update, not for long.`}
    >
      {workers.length === 0 && <Text size="sm">{t`No worker is running.`}</Text>}
      {[...versions].map(([version, count]) => (
        <Text key={version} size="sm">
          <Trans>
            Version {version}: <Plural value={count} one="# worker" other="# workers" />
          </Trans>
          {health && version !== health.version && ` · ${t`differs from the API`}`}
        </Text>
      ))}
      <AnchorLink to="/workers" size="sm">{t`Show the workers`}</AnchorLink>
    </FormSection>
  );
}
