import { useLingui } from "@lingui/react/macro";
import { Button, Tabs } from "@mantine/core";
import { IconMailPlus, IconUserPlus } from "@tabler/icons-react";
import { useState } from "react";
import { useCan } from "@/api/session";
import { PageHeader } from "@/design/PageHeader";
import { CreateUser } from "./CreateUser";
import { InviteUser } from "./InviteUser";
import { OpenInvitations } from "./OpenInvitations";
import type { UsersSearch } from "./search";
import { UserTable } from "./UserTable";

interface Props {
  search: UsersSearch;
  onSearch: (search: UsersSearch) => void;
}

/** Who has an account, and who was invited to one. */
export function UsersPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const can = useCan();
  const writable = can("users:write");
  const [opened, setOpened] = useState<"create" | "invite" | null>(null);
  return (
    <>
      <PageHeader
        title={t`Users`}
        lead={t`Everybody with an account. What they may do in a project, its members decide.`}
        actions={
          writable && (
            <>
              <Button
                variant="default"
                leftSection={<IconUserPlus size={16} />}
                onClick={() => setOpened("create")}
              >
                {t`Create account`}
              </Button>
              <Button leftSection={<IconMailPlus size={16} />} onClick={() => setOpened("invite")}>
                {t`Invite`}
              </Button>
            </>
          )
        }
      />
      <Tabs
        value={search.tab ?? "accounts"}
        onChange={(tab) => onSearch(tab === "invitations" ? { tab } : {})}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="accounts">{t`Accounts`}</Tabs.Tab>
          <Tabs.Tab value="invitations">{t`Invitations`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="accounts">
          <UserTable search={search} onSearch={onSearch} />
        </Tabs.Panel>
        <Tabs.Panel value="invitations">
          <OpenInvitations writable={writable} onInvite={() => setOpened("invite")} />
        </Tabs.Panel>
      </Tabs>
      <CreateUser opened={opened === "create"} onClose={() => setOpened(null)} />
      <InviteUser opened={opened === "invite"} onClose={() => setOpened(null)} />
    </>
  );
}
