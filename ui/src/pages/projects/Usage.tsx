import { useLingui } from "@lingui/react/macro";
import { Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { usageOptions } from "@/api/projects";
import { useCan } from "@/api/session";
import type { Project } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { formatNumber, formatSize } from "@/design/format";
import { PageSkeleton } from "@/design/Skeletons";
import { QuotaForm } from "../project-settings/QuotaForm";

interface Bar {
  label: string;
  used: number;
  limit: number | null;
  show: (value: number) => string;
}

/** What a project uses of its quotas. */
export function Usage({ project }: { project: Project }) {
  const { t, i18n } = useLingui();
  const can = useCan();
  const { data, error, refetch } = useQuery(usageOptions(project.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  const size = (value: number) => formatSize(value, i18n.locale);
  const count = (value: number) => formatNumber(value, i18n.locale);
  const quotas: Bar[] = [
    { label: t`Storage`, used: data.storage.total, limit: data.storage.limit, show: size },
    { label: t`Running tasks`, used: data.tasks.used, limit: data.tasks.limit, show: count },
    { label: t`GPUs in use`, used: data.gpus.used, limit: data.gpus.limit, show: count },
  ];
  const parts = [
    { label: t`Datasets`, bytes: data.storage.datasets },
    { label: t`Models`, bytes: data.storage.models },
    { label: t`Checkpoints`, bytes: data.storage.checkpoints },
    { label: t`Files of tasks`, bytes: data.storage.artifacts },
    { label: t`Bin`, bytes: data.storage.bin },
  ];
  return (
    <>
      <FormSection title={t`Quotas`} description={t`Administrators set the limits.`}>
        <Stack gap="md">
          {quotas.map(({ label, used, limit, show }) => (
            <div key={label}>
              <Text size="sm">
                {limit === null
                  ? t`${label}: ${show(used)}, no limit`
                  : t`${label}: ${show(used)} of ${show(limit)}`}
              </Text>
              {limit !== null && (
                <Progress value={(used / Math.max(limit, 1)) * 100} size="sm" aria-label={label} />
              )}
            </div>
          ))}
          <Text size="sm">{t`Highest priority of a task: ${data.max_priority}`}</Text>
        </Stack>
      </FormSection>
      <FormSection
        title={t`Storage`}
        description={t`Content that several things share counts once.`}
      >
        {parts.map(({ label, bytes }) => (
          <Text key={label} size="sm">
            {label}: {size(bytes)}
          </Text>
        ))}
      </FormSection>
      {can("settings:write") && <QuotaForm project={project} usage={data} />}
    </>
  );
}
