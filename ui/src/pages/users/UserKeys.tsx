import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type UserDetails, useRevokeUserKey, userKeysOptions } from "@/api/users";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { useComplain } from "@/design/useComplain";
import { TimeAgo } from "@/design/values";

/** The valid API keys of an account. */
export function UserKeys({ user, writable }: { user: UserDetails; writable: boolean }) {
  const { t } = useLingui();
  const complain = useComplain();
  const { data, error, refetch } = useQuery(userKeysOptions(user.uuid));
  const revoke = useRevokeUserKey(user.uuid);
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton rows={2} />;
  if (data.items.length === 0)
    return (
      <Text size="sm" c="dimmed">
        {t`No keys.`}
      </Text>
    );
  return data.items.map((key) => (
    <Group key={key.uuid} gap="md">
      <Text size="sm" fw={500}>
        {key.name}
      </Text>
      <span className="mono">{key.prefix}…</span>
      <Text size="sm" c="dimmed" component="span">
        {t`last used`} {key.last_used_at ? <TimeAgo time={key.last_used_at} /> : t`never`}
      </Text>
      {writable && (
        <Button
          variant="subtle"
          color="red"
          onClick={() => revoke.mutate(key.uuid, { onError: complain })}
        >
          {t`Revoke`}
        </Button>
      )}
    </Group>
  ));
}
