import { Trans, useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { useMe } from "@/api/session";
import { PageHeader } from "@/design/PageHeader";
import { TimeAgo } from "@/design/values";
import { SecretList } from "../secrets/SecretList";
import { ApiKeys } from "./ApiKeys";
import { Profile } from "./Profile";
import { Security } from "./Security";
import { Sessions } from "./Sessions";
import type { AccountSearch, AccountTab } from "./search";

interface Props {
  search: AccountSearch;
  onSearch: (search: AccountSearch) => void;
}

/** Everything that belongs to the user: how they sign in, from where, and with which keys. */
export function AccountPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const me = useMe();
  return (
    <>
      <PageHeader
        title={t`Account`}
        lead={
          <Trans>
            You are {me.username} with the role {me.role}, and last signed in{" "}
            <TimeAgo time={me.last_login_at} />.
          </Trans>
        }
      />
      <Tabs
        value={search.tab ?? "profile"}
        onChange={(tab) => onSearch({ tab: (tab ?? undefined) as AccountTab | undefined })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="profile">{t`Profile`}</Tabs.Tab>
          <Tabs.Tab value="security">{t`Security`}</Tabs.Tab>
          <Tabs.Tab value="sessions">{t`Sessions`}</Tabs.Tab>
          <Tabs.Tab value="keys">{t`API keys`}</Tabs.Tab>
          <Tabs.Tab value="secrets">{t`Secrets`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="profile">
          <Profile />
        </Tabs.Panel>
        <Tabs.Panel value="security">
          <Security />
        </Tabs.Panel>
        <Tabs.Panel value="sessions">
          <Sessions />
        </Tabs.Panel>
        <Tabs.Panel value="keys">
          <ApiKeys
            revoked={search.revoked ?? false}
            onRevoked={(revoked) => onSearch({ ...search, revoked: revoked || undefined })}
          />
        </Tabs.Panel>
        <Tabs.Panel value="secrets">
          <SecretList
            writable
            description={t`Only tasks that you start can use them, as environment variables. Their values can't be read again.`}
          />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
