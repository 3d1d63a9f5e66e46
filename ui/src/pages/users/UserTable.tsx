import { useLingui } from "@lingui/react/macro";
import { Button, Group, SegmentedControl, Select, TextInput } from "@mantine/core";
import { IconSearch, IconUsers } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { rolesOptions } from "@/api/roles";
import { type User, useUsers } from "@/api/users";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";
import type { UsersSearch } from "./search";

interface Props {
  search: UsersSearch;
  onSearch: (search: UsersSearch) => void;
}

/** The accounts, newest first. */
export function UserTable({ search, onSearch }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const roles = useQuery(rolesOptions).data?.items ?? [];
  const { tab: _tab, ...filter } = search;
  const list = useUsers(filter);
  const rows = list.data?.pages.flatMap((page) => page.items);
  const columns: Column<User>[] = [
    {
      id: "name",
      header: t`User name`,
      primary: true,
      cell: (user) => (
        <AnchorLink to="/users/$user" params={{ user: user.username }} c="inherit" fw={500}>
          {user.username}
        </AnchorLink>
      ),
    },
    { id: "email", header: t`Address`, cell: (user) => user.email },
    { id: "role", header: t`Role`, width: 140, cell: (user) => user.role },
    {
      id: "status",
      header: t`Status`,
      width: 140,
      cell: (user) => <Status status={user.is_active ? "active" : "inactive"} />,
    },
    {
      id: "login",
      header: t`Last sign-in`,
      width: 140,
      cell: (user) => (user.last_login_at ? <TimeAgo time={user.last_login_at} /> : t`never`),
    },
    {
      id: "created",
      header: t`Created`,
      width: 130,
      align: "right",
      cell: (user) => <TimeAgo time={user.created_at} />,
    },
  ];
  return (
    <>
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={260}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Name or address`}
          aria-label={t`Name or address`}
          maxLength={100}
          value={search.q ?? ""}
          onChange={(event) => onSearch({ ...search, q: event.currentTarget.value || undefined })}
        />
        <Select
          size="xs"
          w={150}
          clearable
          placeholder={t`Any role`}
          aria-label={t`Role`}
          value={search.role ?? null}
          onChange={(role) => onSearch({ ...search, role: role ?? undefined })}
          data={["user", ...roles.map((role) => role.name)]}
        />
        <SegmentedControl
          size="xs"
          aria-label={t`Status`}
          value={search.active === undefined ? "all" : String(search.active)}
          onChange={(value) =>
            onSearch({ ...search, active: value === "all" ? undefined : value === "true" })
          }
          data={[
            { value: "all", label: t`All` },
            { value: "true", label: t`Active` },
            { value: "false", label: t`Deactivated` },
          ]}
        />
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Accounts`}
          columns={columns}
          rows={rows}
          rowKey={(user) => user.uuid}
          onOpen={(user) => void navigate({ to: "/users/$user", params: { user: user.username } })}
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconUsers size={32} stroke={1.5} />}
              title={t`No account matches these filters`}
              action={
                <Button variant="default" onClick={() => onSearch({})}>
                  {t`Clear the filters`}
                </Button>
              }
            >
              {t`Loosen the filters to see other accounts, or invite somebody.`}
            </EmptyState>
          }
        />
      )}
    </>
  );
}
