import { useLingui } from "@lingui/react/macro";
import { Stack, Text } from "@mantine/core";
import { useAccess } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";

/** What a user may do in a project, and why. */
export function WhyAccess({ project, user }: { project: string; user: string }) {
  const { t } = useLingui();
  const { data, error } = useAccess(project, user, true);
  if (error) return <ErrorNotice error={error} />;
  if (!data) return <TableSkeleton rows={3} />;
  const sources: Record<string, (role: string) => string> = {
    owner: () => t`Owns the project and may do everything in it`,
    global_role: (role) => t`Has the role ${role} on the whole platform`,
    membership: (role) => t`Is a member with the role ${role}`,
  };
  return (
    <Stack gap="sm">
      {data.reasons.map((reason) => (
        <Text key={`${reason.source}${reason.role}`} size="sm" fw={500}>
          {sources[reason.source]?.(reason.role) ?? reason.role}
        </Text>
      ))}
      {data.reasons.length === 0 && <Text size="sm">{t`May do nothing here.`}</Text>}
      <Text size="xs" className="mono">
        {data.permissions.map((held) => held.permission).join(" · ")}
      </Text>
    </Stack>
  );
}
