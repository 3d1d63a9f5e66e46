import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import { useProjectParam } from "@/api/projects";
import { type Firing, useFirings } from "@/api/schedules";
import { ErrorNotice } from "@/design/ErrorNotice";
import { formatExact } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";

/** The times at which a schedule was due, and what came of each. */
export function FiringTable({ schedule }: { schedule: string }) {
  const { t, i18n } = useLingui();
  const param = useProjectParam();
  const list = useFirings(schedule);
  const rows = list.data?.pages.flatMap((page) => page.items);
  const columns: Column<Firing>[] = [
    {
      id: "due",
      header: t`Due`,
      primary: true,
      width: 220,
      cell: (firing) => formatExact(new Date(firing.due_at), i18n.locale),
    },
    {
      id: "outcome",
      header: t`Outcome`,
      width: 200,
      cell: (firing) => <Status status={firing.outcome} />,
    },
    {
      id: "task",
      header: t`Task`,
      width: 120,
      cell: (firing) =>
        firing.task && (
          <AnchorLink to="/p/$project/tasks/$task" params={{ project: param, task: firing.task }}>
            {firing.task.slice(0, 8)}
          </AnchorLink>
        ),
    },
    {
      id: "reason",
      header: t`Reason`,
      cell: (firing) => {
        const reason = i18n.locale.startsWith("zh") ? firing.reason_zh : firing.reason;
        return <span title={reason ?? undefined}>{reason}</span>;
      },
    },
    {
      id: "fired",
      header: t`Fired`,
      width: 130,
      align: "right",
      cell: (firing) => <TimeAgo time={firing.fired_at} />,
    },
  ];
  if (list.error) return <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />;
  return (
    <DataTable
      label={t`History`}
      columns={columns}
      rows={rows}
      rowKey={(firing) => firing.due_at}
      hasMore={list.hasNextPage}
      loadingMore={list.isFetchingNextPage}
      onMore={() => void list.fetchNextPage()}
      empty={<Text c="dimmed">{t`It has not been due yet.`}</Text>}
    />
  );
}
