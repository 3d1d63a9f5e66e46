import { useLingui } from "@lingui/react/macro";

/** Return the name of each group of notification types. */
export function useGroupLabel(): (group: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    task: t`Tasks`,
    dataset: t`Datasets`,
    model: t`Models`,
    deployment: t`Deployments`,
    sweep: t`Sweeps`,
    schedule: t`Schedules`,
    project: t`Projects`,
    member: t`Members`,
    quota: t`Quotas`,
    webhook: t`Webhooks`,
    worker: t`Workers`,
    security: t`Security of your account`,
  };
  return (group) => labels[group] ?? group;
}
