import { useLingui } from "@lingui/react/macro";
import {
  ActionIcon,
  Badge,
  Button,
  Group,
  Indicator,
  Popover,
  Stack,
  Text,
  Tooltip,
} from "@mantine/core";
import { IconBell } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { notificationsOptions, unreadOptions, useMarkAllRead } from "@/api/notifications";
import { ButtonLink } from "@/design/links";
import { TimeAgo } from "@/design/values";

/** The newest notifications behind a bell. */
export function Bell() {
  const { t } = useLingui();
  const [opened, setOpened] = useState(false);
  const unread = useQuery(unreadOptions).data?.unread ?? 0;
  const newest = useQuery({ ...notificationsOptions(8), enabled: opened });
  const markAll = useMarkAllRead();
  const label = unread > 0 ? t`Notifications, ${unread} unread` : t`Notifications`;
  return (
    <Popover
      opened={opened}
      onChange={setOpened}
      position="right-end"
      width={360}
      shadow="md"
      withRoles
      trapFocus
    >
      <Popover.Target>
        <Tooltip label={label}>
          <ActionIcon size="lg" aria-label={label} onClick={() => setOpened(!opened)}>
            <Indicator disabled={unread === 0} size={7} color="red" offset={2}>
              <IconBell size={18} />
            </Indicator>
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown>
        <Group justify="space-between" mb="sm">
          <Text fw={600}>{t`Notifications`}</Text>
          <Button
            variant="subtle"
            disabled={unread === 0}
            loading={markAll.isPending}
            onClick={() => markAll.mutate()}
          >
            {t`Mark all as read`}
          </Button>
        </Group>
        <Stack gap="sm">
          {newest.data?.items.map((item) => (
            <div key={item.uuid}>
              <Group gap="sm" justify="space-between" wrap="nowrap">
                <Text size="sm" fw={item.is_read ? 400 : 600} className="truncate">
                  {item.title}
                </Text>
                {!item.is_read && <Badge size="xs">{t`new`}</Badge>}
              </Group>
              <Text size="xs" c="dimmed" lineClamp={2}>
                {item.message}
              </Text>
              <Text size="xs" c="dimmed" component="div">
                <TimeAgo time={item.created_at} />
              </Text>
            </div>
          ))}
          {newest.data?.items.length === 0 && (
            <Text size="sm" c="dimmed">
              {t`Nothing yet. You will hear here of tasks that end, invitations, and changes to your account.`}
            </Text>
          )}
          <ButtonLink to="/inbox" variant="default" fullWidth onClick={() => setOpened(false)}>
            {t`Open the inbox`}
          </ButtonLink>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
