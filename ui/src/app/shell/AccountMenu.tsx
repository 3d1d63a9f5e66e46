import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, Text, Tooltip } from "@mantine/core";
import { IconInfoCircle, IconKeyboard, IconLogout, IconUserCircle } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useMe, useSignOut } from "@/api/session";
import { openShortcutHelp } from "../ShortcutHelp";

/** Who is signed in, and the way out. */
export function AccountMenu() {
  const { t } = useLingui();
  const me = useMe();
  const navigate = useNavigate();
  const signOut = useSignOut();
  const leave = () =>
    signOut.mutate(undefined, { onSettled: () => void navigate({ to: "/sign-in" }) });
  return (
    <Menu position="right-end">
      <Menu.Target>
        <Tooltip label={me.username}>
          <ActionIcon size="lg" aria-label={t`Account of ${me.username}`}>
            <IconUserCircle size={18} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="sm" fw={600}>
            {me.username}
          </Text>
          {me.email}
        </Menu.Label>
        <Menu.Item
          leftSection={<IconUserCircle size={16} />}
          onClick={() => void navigate({ to: "/account" })}
        >
          {t`Account`}
        </Menu.Item>
        <Menu.Item
          leftSection={<IconInfoCircle size={16} />}
          onClick={() => void navigate({ to: "/about" })}
        >
          {t`About and health`}
        </Menu.Item>
        <Menu.Item leftSection={<IconKeyboard size={16} />} onClick={openShortcutHelp}>
          {t`Keyboard shortcuts`}
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={leave}>
          {t`Sign out`}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
