import { useLingui } from "@lingui/react/macro";
import { Anchor, Button, Group, Text, TextInput, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import {
  type DatasetVersion,
  downloadAddress,
  rowsPageOptions,
  useMapColumns,
} from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { DataTable } from "@/design/table/DataTable";
import type { DatasetSearch } from "./search";
import { type ColumnMap, MappingTable } from "./upload/MappingTable";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

const PREVIEW = 5;

/** The columns with their types, what they are taken for, and how the file was read. */
export function ColumnsTab({ dataset, version, search, onSearch }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const [map, setMap] = useState<ColumnMap>({});
  const [message, setMessage] = useState("");
  const rows = useQuery(rowsPageOptions(dataset.uuid, version.version, 0));
  const save = useMapColumns(dataset.uuid);
  const names = version.columns.map(({ name }) => name);
  const chosen = Object.keys(map).length;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate(
      {
        map,
        message: message.trim() || null,
        parent: version.version === dataset.version ? null : version.version,
      },
      {
        onSuccess: (made) => {
          notifications.show({ message: t`Saved as ${made.version}.` });
          onSearch({ ...search, version: undefined });
        },
      },
    );
  };
  return (
    <>
      {can("datasets:write") && (
        <form onSubmit={submit}>
          <Title order={2} mb="xs">
            {t`What the columns are`}
          </Title>
          <ErrorNotice error={rows.error} onRetry={() => void rows.refetch()} />
          {!rows.data && !rows.error && <TableSkeleton rows={4} />}
          {rows.data && (
            <MappingTable
              columns={names}
              rows={rows.data.slice(0, PREVIEW).map(({ row }) => row)}
              map={map}
              onMap={setMap}
            />
          )}
          <ErrorNotice error={save.error} />
          <Group mt="sm" mb="lg" align="flex-end">
            <TextInput
              label={t({ message: "Message", context: "version" })}
              w={280}
              placeholder={t`By default it names the columns`}
              value={message}
              onChange={(event) => setMessage(event.currentTarget.value)}
            />
            <Button type="submit" size="sm" disabled={chosen === 0} loading={save.isPending}>
              {t`Save as a new version`}
            </Button>
          </Group>
        </form>
      )}
      <Title order={2} mb="xs">
        {t`Types`}
      </Title>
      <DataTable
        label={t`Columns`}
        rows={version.columns}
        rowKey={({ name }) => name}
        columns={[
          { id: "name", header: t`Column`, primary: true, cell: ({ name }) => name },
          { id: "type", header: t`Type`, width: 160, cell: ({ type }) => type },
        ]}
      />
      {version.read_as && (
        <>
          <Title order={2} mt="lg" mb="xs">
            {t`How the file was read`}
          </Title>
          <Code label={t`How the file was read`} wrap>
            {JSON.stringify(version.read_as, null, 2)}
          </Code>
          {Boolean(version.read_as.quarantined) && (
            <Anchor href={downloadAddress(dataset.uuid, version.version, "quarantine")} download>
              {t`Download the rows that were set aside`}
            </Anchor>
          )}
        </>
      )}
      {version.made_by && (
        <>
          <Title order={2} mt="lg" mb="xs">
            {t`How the version was made`}
          </Title>
          <Text size="sm" c="dimmed" mb="xs">
            {t`From ${version.parent ?? "–"}, with these settings:`}
          </Text>
          <Code label={t`How the version was made`} wrap>
            {JSON.stringify(version.made_by, null, 2)}
          </Code>
        </>
      )}
    </>
  );
}
