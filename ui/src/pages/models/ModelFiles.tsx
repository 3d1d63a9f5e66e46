import { useLingui } from "@lingui/react/macro";
import { Anchor, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { modelFilesOptions, modelFileUrl } from "@/api/models";
import type { Model } from "@/api/types";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { DataTable } from "@/design/table/DataTable";
import { Id, Size } from "@/design/values";
import { modelLabel } from "./versions";

/** The files of a model, and how to get all of them. */
export function ModelFiles({ model }: { model: Model }) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(modelFilesOptions(model.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <Stack gap="lg">
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
              <Anchor href={modelFileUrl(model.uuid, file.path)} download c="inherit">
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
        empty={<Text c="dimmed">{t`No file has arrived yet.`}</Text>}
      />
      {data && data.items.length > 0 && (
        <section>
          <Title order={2} mb="xs">{t`Download all files`}</Title>
          <Text size="sm" c="dimmed" mb="xs">
            {t`A click on a file downloads this file alone. The command downloads all of them into folders, continues after a cut, and verifies each.`}
          </Text>
          <Code label={t`Download all files`}>
            {`aiplatform models download ${modelLabel(model)} --output ${model.name}`}
          </Code>
        </section>
      )}
    </Stack>
  );
}
