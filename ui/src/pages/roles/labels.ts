import { useLingui } from "@lingui/react/macro";
import type { PermissionEntry } from "@/api/roles";

/** Return the name of each resource of permissions. */
export function useResourceLabel(): (resource: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    audit: t`Audit`,
    datasets: t`Datasets`,
    inference: t`Deployments`,
    members: t`Members`,
    models: t`Models`,
    projects: t`Projects`,
    roles: t`Roles`,
    secrets: t`Secrets`,
    settings: t`Settings and workers`,
    tasks: t`Tasks`,
    training: t`Training`,
    users: t`Users`,
  };
  return (resource) => labels[resource] ?? resource;
}

/** Return the description of a permission in the language of the page. */
export function useDescription(): (entry: PermissionEntry) => string {
  const { i18n } = useLingui();
  return (entry) => (i18n.locale.startsWith("zh") ? entry.description_zh : entry.description);
}

/** Return the permissions of each resource, in the order of the list. */
export function byResource(
  permissions: readonly PermissionEntry[],
): [resource: string, entries: PermissionEntry[]][] {
  const groups = new Map<string, PermissionEntry[]>();
  for (const entry of permissions)
    groups.set(entry.resource, [...(groups.get(entry.resource) ?? []), entry]);
  return [...groups];
}
