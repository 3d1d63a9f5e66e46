import { useLingui } from "@lingui/react/macro";
import { Anchor, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { artifactsOptions } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DataTable } from "@/design/table/DataTable";
import { Id, Size } from "@/design/values";

/** The files that a task left as results. */
export function TaskFiles({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(artifactsOptions(task.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  const address = (path: string) =>
    `/api/v1/tasks/${task.uuid}/artifacts/${path.split("/").map(encodeURIComponent).join("/")}`;
  return (
    <DataTable
      label={t`Files`}
      rows={data?.items}
      rowKey={(file) => file.path}
      columns={[
        {
          id: "path",
          header: t`File`,
          primary: true,
          cell: (file) => (
            <Anchor href={address(file.path)} download c="inherit">
              {file.path}
            </Anchor>
          ),
        },
        {
          id: "size",
          header: t`Size`,
          align: "right",
          width: 120,
          cell: (file) => <Size bytes={file.size} />,
        },
        {
          id: "sha256",
          header: "SHA-256",
          width: 140,
          cell: (file) => <Id value={file.sha256} length={12} />,
        },
      ]}
      empty={
        <Text c="dimmed">{t`This task left no files. A script keeps what it writes into its artifacts folder.`}</Text>
      }
    />
  );
}
