import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Drawer, Group, SegmentedControl, Select, Stack, Tabs, Text } from "@mantine/core";
import { IconBell } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import {
  notificationPreferencesOptions,
  useDeleteNotification,
  useDeleteRead,
  useInbox,
  useMarkRead,
} from "@/api/inbox";
import { unreadOptions, useMarkAllRead } from "@/api/notifications";
import type { Notification } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageHeader } from "@/design/PageHeader";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { useComplain } from "@/design/useComplain";
import { TimeAgo } from "@/design/values";
import { destination } from "./destination";
import classes from "./Inbox.module.css";
import { Invitations } from "./Invitations";
import { Preferences } from "./Preferences";
import type { InboxSearch } from "./search";

interface Props {
  search: InboxSearch;
  onSearch: (search: InboxSearch) => void;
}

/** What the platform told the user, what they are invited to, and what they want to be told. */
export function InboxPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const unread = useQuery(unreadOptions).data?.unread ?? 0;
  return (
    <>
      <PageHeader
        title={t`Inbox`}
        lead={
          unread === 0 ? (
            t`You have read everything.`
          ) : (
            <Plural value={unread} one="# message is unread." other="# messages are unread." />
          )
        }
      />
      <Invitations />
      <Tabs
        value={search.tab ?? "messages"}
        onChange={(tab) => onSearch(tab === "preferences" ? { tab } : {})}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="messages">{t`Messages`}</Tabs.Tab>
          <Tabs.Tab value="preferences">{t`Preferences`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="messages">
          <Messages search={search} onSearch={onSearch} />
        </Tabs.Panel>
        <Tabs.Panel value="preferences">
          <Preferences />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Messages({ search, onSearch }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const list = useInbox({ unread: search.unread, type: search.type });
  const types = useQuery(notificationPreferencesOptions).data?.types ?? [];
  const markRead = useMarkRead();
  const markAll = useMarkAllRead();
  const clear = useDeleteRead();
  const complain = useComplain();
  const unread = useQuery(unreadOptions).data?.unread ?? 0;
  const rows = list.data?.pages.flatMap((page) => page.items);
  const shown = rows?.find(({ uuid }) => uuid === search.item);
  const filtered = Boolean(search.unread || search.type);
  const columns: Column<Notification>[] = [
    {
      id: "title",
      header: t`Message`,
      primary: true,
      width: "32%",
      cell: (item) => (
        <span className={classes.title}>
          <span className={classes.dot} data-read={item.is_read || undefined} aria-hidden />
          {!item.is_read && <span className="visually-hidden">{t`Unread`}</span>}
          <Text component="span" size="sm" fw={item.is_read ? 400 : 600} className="truncate">
            {item.title}
          </Text>
        </span>
      ),
    },
    {
      id: "message",
      header: t`Details`,
      cell: (item) => <span className="secondary">{item.message}</span>,
    },
    {
      id: "created",
      header: t`When`,
      width: 120,
      align: "right",
      cell: (item) => <TimeAgo time={item.created_at} />,
    },
  ];
  const preview = (item: Notification) => {
    if (!item.is_read) markRead.mutate(item.uuid);
    onSearch({ ...search, item: item.uuid });
  };
  return (
    <>
      <Group mb="md" gap="sm">
        <SegmentedControl
          size="xs"
          aria-label={t`Which messages`}
          value={search.unread ? "unread" : "all"}
          onChange={(value) =>
            onSearch({ ...search, unread: value === "unread" || undefined, item: undefined })
          }
          data={[
            { value: "all", label: t`All` },
            { value: "unread", label: t`Unread` },
          ]}
        />
        <Select
          size="xs"
          w={260}
          clearable
          searchable
          placeholder={t`Any event`}
          aria-label={t`Event`}
          value={search.type ?? null}
          onChange={(value) =>
            onSearch({ ...search, type: (value ?? undefined) as InboxSearch["type"] })
          }
          data={types.map(({ type, label }) => ({ value: type, label }))}
        />
        <Group gap="sm" ml="auto">
          <Button
            variant="default"
            disabled={unread === 0}
            loading={markAll.isPending}
            onClick={() => markAll.mutate()}
          >
            {t`Mark all as read`}
          </Button>
          <Button
            variant="default"
            loading={clear.isPending}
            onClick={() => clear.mutate(undefined, { onError: complain })}
          >
            {t`Delete what was read`}
          </Button>
        </Group>
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Messages`}
          columns={columns}
          rows={rows}
          rowKey={(item) => item.uuid}
          previewed={search.item}
          onPreview={preview}
          onOpen={(item) => {
            const to = destination(item);
            if (!item.is_read) markRead.mutate(item.uuid);
            if (to) void navigate({ href: to });
            else preview(item);
          }}
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconBell size={32} stroke={1.5} />}
              title={filtered ? t`No message matches these filters` : t`Nothing yet`}
              action={
                filtered ? (
                  <Button variant="default" onClick={() => onSearch({})}>
                    {t`Clear the filters`}
                  </Button>
                ) : (
                  <Button variant="default" onClick={() => onSearch({ tab: "preferences" })}>
                    {t`Choose what reaches you`}
                  </Button>
                )
              }
            >
              {t`Here you hear of tasks that end, reports that are ready, invitations, and changes to your account.`}
            </EmptyState>
          }
        />
      )}
      <Message item={shown} onClose={() => onSearch({ ...search, item: undefined })} />
    </>
  );
}

function Message({ item, onClose }: { item: Notification | undefined; onClose: () => void }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const remove = useDeleteNotification();
  const complain = useComplain();
  const to = item && destination(item);
  return (
    <Drawer
      opened={item !== undefined}
      onClose={onClose}
      position="right"
      title={item?.title}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {item && (
        <Stack gap="md">
          <Text style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>{item.message}</Text>
          <Text size="sm" c="dimmed" component="div">
            <TimeAgo time={item.created_at} />
          </Text>
          <Group gap="sm">
            {to && to !== "/inbox" && (
              <Button
                onClick={() => void navigate({ href: to })}
              >{t`Show what it is about`}</Button>
            )}
            <Button
              variant="default"
              loading={remove.isPending}
              onClick={() =>
                remove.mutate(item.uuid, { onError: complain, onSuccess: () => onClose() })
              }
            >
              {t`Delete`}
            </Button>
          </Group>
        </Stack>
      )}
    </Drawer>
  );
}
