import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { datasetStorageOptions, useRenameDataset } from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { FormSection } from "@/design/FormSection";
import { TableSkeleton } from "@/design/Skeletons";
import { DataTable } from "@/design/table/DataTable";
import { Num, Size } from "@/design/values";
import { isName } from "./upload/names";

/** The dataset's name, and what its versions cost. */
export function StorageTab({ dataset, etag }: { dataset: Dataset; etag: string }) {
  const { t } = useLingui();
  const can = useCanHere();
  const { data, error, refetch } = useQuery(datasetStorageOptions(dataset.uuid));
  return (
    <>
      {can("datasets:write") && <Rename key={dataset.name} dataset={dataset} etag={etag} />}
      <FormSection
        title={t`Storage`}
        description={t`Versions share what they have in common: a version in which one row of a hundred changed costs a few per cent of the one before.`}
      >
        <ErrorNotice error={error} onRetry={() => void refetch()} />
        {!data && !error && <TableSkeleton />}
        {data && (
          <>
            <Figures
              items={[
                { label: t`Versions`, value: <Num value={data.version_count} /> },
                { label: t`As downloaded`, value: <Size bytes={data.logical} /> },
                { label: t`Counts towards the quota`, value: <Size bytes={data.charged} /> },
                { label: t`Stored, shared data once`, value: <Size bytes={data.stored} /> },
              ]}
            />
            <DataTable
              label={t`Storage of the versions`}
              rows={data.versions ?? []}
              rowKey={(version) => version.version}
              columns={[
                {
                  id: "version",
                  header: t`Version`,
                  primary: true,
                  cell: (version) => version.version,
                },
                {
                  id: "logical",
                  header: t`As downloaded`,
                  align: "right",
                  cell: (version) => <Size bytes={version.logical} />,
                },
                {
                  id: "charged",
                  header: t`Counts towards the quota`,
                  align: "right",
                  cell: (version) => <Size bytes={version.charged} />,
                },
                {
                  id: "alone",
                  header: t`Only for it`,
                  align: "right",
                  cell: (version) => <Size bytes={version.alone} />,
                },
              ]}
            />
            <Text size="xs" c="dimmed">
              {t`Deleting a version frees what is stored only for it.`}
            </Text>
          </>
        )}
      </FormSection>
    </>
  );
}

function Rename({ dataset, etag }: { dataset: Dataset; etag: string }) {
  const { t } = useLingui();
  const [name, setName] = useState(dataset.name);
  const rename = useRenameDataset(dataset.uuid);
  const typed = name.trim();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (typed === dataset.name || !isName(typed)) return;
    rename.mutate(
      { name: typed, version: etag },
      { onSuccess: () => notifications.show({ message: t`The dataset is now called ${typed}.` }) },
    );
  };
  return (
    <FormSection
      title={t`Name`}
      description={t`Experiments and commands that use the old name have to use the new one.`}
    >
      <form onSubmit={submit}>
        <Group align="flex-end" gap="sm">
          <TextInput
            label={t`Name of the dataset`}
            w={320}
            error={typed && !isName(typed) && t`A name can't contain / or @.`}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Button
            type="submit"
            size="sm"
            disabled={typed === dataset.name || !isName(typed)}
            loading={rename.isPending}
          >
            {t`Rename`}
          </Button>
        </Group>
        <ErrorNotice error={rename.error} />
      </form>
    </FormSection>
  );
}
