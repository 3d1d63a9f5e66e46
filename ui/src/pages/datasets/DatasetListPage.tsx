import { useLingui } from "@lingui/react/macro";
import { Button, Group, TextInput } from "@mantine/core";
import { IconDatabase, IconPlus, IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useDatasets } from "@/api/datasets";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PreviewDrawer } from "@/design/preview/PreviewDrawer";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import { DataTable } from "@/design/table/DataTable";
import { SavedViews } from "@/design/views/SavedViews";
import { useDatasetColumns } from "./columns";
import type { DatasetListSearch } from "./search";
import { UploadList } from "./upload/UploadList";
import { useDatasetChanges } from "./useDatasetChanges";

interface Props {
  search: DatasetListSearch;
  onSearch: (search: DatasetListSearch) => void;
}

/** The datasets of a project, newest first, with the uploads that are under way. */
export function DatasetListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const columns = useDatasetColumns();
  const list = useDatasets(project.uuid);
  useDatasetChanges();
  const wanted = search.q?.toLocaleLowerCase();
  const all = list.data?.pages.flatMap((page) => page.items);
  const rows = wanted
    ? all?.filter((dataset) => dataset.name.toLocaleLowerCase().includes(wanted))
    : all;
  const add = can("datasets:write") && (
    <ButtonLink
      to="/p/$project/datasets/new"
      params={{ project: param }}
      leftSection={<IconPlus size={15} />}
    >
      {t`Add a dataset`}
    </ButtonLink>
  );
  return (
    <>
      <PageHeader
        title={t`Datasets`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`Rows to train and evaluate on. Each has versions that never change, and a quality report.`}
        actions={add}
      />
      {can("datasets:write") && <UploadList project={project.uuid} />}
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={240}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Part of a name`}
          aria-label={t`Part of a name`}
          value={search.q ?? ""}
          onChange={(event) => onSearch({ ...search, q: event.currentTarget.value || undefined })}
        />
        <Group ml="auto" gap="xs">
          <SavedViews list="datasets" search={search} onSearch={onSearch} />
          <ColumnMenu
            columns={columns}
            shown={search.columns}
            onChange={(chosen) => onSearch({ ...search, columns: chosen })}
          />
        </Group>
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Datasets`}
          columns={columns}
          shown={search.columns}
          rows={rows}
          rowKey={(dataset) => dataset.uuid}
          onPeek={(dataset) => onSearch({ ...search, preview: dataset.uuid })}
          onOpen={(dataset) =>
            void navigate({
              to: "/p/$project/datasets/$dataset",
              params: { project: param, dataset: dataset.uuid },
            })
          }
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            search.q ? (
              <EmptyState
                icon={<IconDatabase size={32} stroke={1.5} />}
                title={t`No dataset of this name`}
                action={
                  <Button variant="default" onClick={() => onSearch({ columns: search.columns })}>
                    {t`Show all`}
                  </Button>
                }
              >
                {t`The search looks for a part of the name among the datasets that are listed.`}
              </EmptyState>
            ) : (
              <EmptyState
                icon={<IconDatabase size={32} stroke={1.5} />}
                title={t`No datasets yet`}
                action={
                  add && (
                    <Group gap="sm">
                      {add}
                      <ButtonLink to="/first-run" variant="default">
                        {t`Try it with the sample`}
                      </ButtonLink>
                    </Group>
                  )
                }
              >
                {t`A dataset is a table of rows: conversations, questions with answers, preference pairs, texts with labels. Add a file, or let the platform fetch one; its quality report says within minutes what to repair before training.`}
              </EmptyState>
            )
          }
        />
      )}
      <PreviewDrawer
        kind="dataset"
        uuid={search.preview}
        onClose={() => onSearch({ ...search, preview: undefined })}
      />
    </>
  );
}
