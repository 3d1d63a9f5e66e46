import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { aliasMovesOptions } from "@/api/aliases";
import type { Model } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { UserName } from "@/design/refs";
import { DataTable } from "@/design/table/DataTable";
import { TimeAgo } from "@/design/values";

/** The moves of an alias, newest first. */
export function AliasHistory({ model, alias }: { model: Model; alias: string }) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(aliasMovesOptions(model.uuid, alias));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  const what = (from: string | null, to: string | null) => {
    if (to === null) return t`${from} → deleted`;
    return from === null ? t`set to ${to}` : `${from} → ${to}`;
  };
  return (
    <DataTable
      label={t`Moves`}
      rows={data?.items.map((move, place) => ({ ...move, place }))}
      rowKey={({ place }) => String(place)}
      columns={[
        {
          id: "move",
          header: t`Version`,
          primary: true,
          width: 180,
          cell: ({ from_version: from, to_version: to }) => what(from, to),
        },
        {
          id: "kind",
          header: t`Undo`,
          width: 130,
          cell: (move) => {
            if (move.is_undo) return t`took a move back`;
            return move.undone ? t`was taken back` : "–";
          },
        },
        { id: "reason", header: t`Reason`, cell: ({ reason }) => reason ?? "–" },
        {
          id: "by",
          header: t`Moved by`,
          width: 130,
          cell: ({ moved_by: user }) => <UserName user={user} />,
        },
        {
          id: "when",
          header: t`Moved`,
          width: 120,
          cell: ({ moved_at: time }) => <TimeAgo time={time} />,
        },
      ]}
    />
  );
}
