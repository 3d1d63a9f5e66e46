import { useLingui } from "@lingui/react/macro";
import { Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { sessionsOptions, useEndOtherSessions, useEndSession } from "@/api/account";
import type { Schema } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { useComplain } from "@/design/useComplain";
import { TimeAgo } from "@/design/values";

type SessionEntry = Schema<"SessionOut">;

/** Where the user is signed in, with the way out for each. */
export function Sessions() {
  const { t } = useLingui();
  const complain = useComplain();
  const { data, error, refetch } = useQuery(sessionsOptions);
  const end = useEndSession();
  const endOthers = useEndOtherSessions();
  const columns: Column<SessionEntry>[] = [
    {
      id: "agent",
      header: t`Browser or program`,
      primary: true,
      cell: (session) => (
        <span title={session.user_agent ?? undefined}>{session.user_agent ?? "–"}</span>
      ),
    },
    {
      id: "address",
      header: t`Address`,
      width: 160,
      cell: (session) => <span className="mono">{session.ip_address ?? "–"}</span>,
    },
    {
      id: "seen",
      header: t`Last seen`,
      width: 130,
      cell: (session) => <TimeAgo time={session.last_seen_at} />,
    },
    {
      id: "began",
      header: t`Began`,
      width: 130,
      cell: (session) => <TimeAgo time={session.created_at} />,
    },
    {
      id: "end",
      header: "",
      width: 130,
      align: "right",
      cell: (session) =>
        session.current ? (
          <span className="secondary">{t`this one`}</span>
        ) : (
          <Button
            variant="subtle"
            color="red"
            onClick={() => end.mutate(session.uuid, { onError: complain })}
          >
            {t`End`}
          </Button>
        ),
    },
  ];
  const others = data?.items.some((session) => !session.current) ?? false;
  return (
    <>
      <Group mb="md">
        <Button
          variant="default"
          disabled={!others}
          loading={endOthers.isPending}
          onClick={() => endOthers.mutate(undefined, { onError: complain })}
        >
          {t`End all other sessions`}
        </Button>
      </Group>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Sessions`}
          columns={columns}
          rows={data?.items}
          rowKey={(session) => session.uuid}
        />
      )}
    </>
  );
}
