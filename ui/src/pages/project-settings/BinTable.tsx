import { useLingui } from "@lingui/react/macro";
import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconTrash } from "@tabler/icons-react";
import { useState } from "react";
import { type BinItem, usePurge, useRestore } from "@/api/projectSettings";
import { Confirm } from "@/design/Confirm";
import { EmptyState } from "@/design/EmptyState";
import { UserName } from "@/design/refs";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { useComplain } from "@/design/useComplain";
import { Size, TimeAgo, TimeUntil } from "@/design/values";

interface Props {
  items: BinItem[] | undefined;
  /** Uuid of the project whose bin it is; without it, the items are projects. */
  project?: string;
  canRestore: (item: BinItem) => boolean;
  canPurge: boolean;
}

/** What was deleted, until it is purged. */
export function BinTable({ items, project, canRestore, canPurge }: Props) {
  const { t } = useLingui();
  const complain = useComplain();
  const restore = useRestore(project);
  const purge = usePurge(project);
  const [asking, setAsking] = useState<BinItem | null>(null);
  const kinds: Record<BinItem["kind"], string> = {
    project: t`Project`,
    dataset: t`Dataset`,
    model: t`Model`,
  };
  const nameOf = (item: BinItem) => (item.version ? `${item.name} ${item.version}` : item.name);
  const columns: Column<BinItem>[] = [
    { id: "name", header: t`Name`, primary: true, cell: nameOf },
    { id: "kind", header: t`Kind`, width: 110, cell: (item) => kinds[item.kind] },
    {
      id: "size",
      header: t`Size`,
      width: 100,
      align: "right",
      cell: (item) => <Size bytes={item.bytes} />,
    },
    {
      id: "by",
      header: t`Deleted by`,
      width: 130,
      cell: (item) => <UserName user={item.deleted_by} />,
    },
    {
      id: "at",
      header: t`Deleted`,
      width: 120,
      cell: (item) => <TimeAgo time={item.deleted_at} />,
    },
    {
      id: "until",
      header: t`Purged`,
      width: 120,
      cell: (item) => <TimeUntil time={item.purge_after} />,
    },
    {
      id: "actions",
      header: "",
      width: 220,
      align: "right",
      cell: (item) => (
        <Group gap={0} justify="flex-end" wrap="nowrap">
          {canRestore(item) && (
            <Button
              variant="subtle"
              loading={restore.isPending && restore.variables === item.uuid}
              onClick={() =>
                restore.mutate(item.uuid, {
                  onError: complain,
                  onSuccess: ({ name }) => notifications.show({ message: t`Restored as ${name}` }),
                })
              }
            >
              {t`Restore`}
            </Button>
          )}
          {canPurge && (
            <Button variant="subtle" color="red" onClick={() => setAsking(item)}>
              {t`Purge`}
            </Button>
          )}
        </Group>
      ),
    },
  ];
  return (
    <>
      <DataTable
        label={t`Bin`}
        columns={columns}
        rows={items}
        rowKey={(item) => item.uuid}
        empty={
          <EmptyState icon={<IconTrash size={32} stroke={1.5} />} title={t`The bin is empty`}>
            {t`What is deleted waits here for a while and can be restored. It counts to the storage until it is purged.`}
          </EmptyState>
        }
      />
      <Confirm
        opened={asking !== null}
        onClose={() => setAsking(null)}
        title={t`Purge ${asking ? nameOf(asking) : ""}?`}
        action={t`Delete permanently`}
        phrase={asking?.name}
        pending={purge.isPending}
        error={purge.error}
        onConfirm={() => asking && purge.mutate(asking.uuid, { onSuccess: () => setAsking(null) })}
      >
        {t`It is deleted with all its content, and can't be restored any more.`}
      </Confirm>
    </>
  );
}
