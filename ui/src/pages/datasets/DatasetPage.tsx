import { useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { datasetOptions, versionOptions } from "@/api/datasets";
import { useProject, useProjectParam } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { TableSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { Id, Num, Size, TimeAgo } from "@/design/values";
import { ColumnsTab } from "./ColumnsTab";
import { DatasetActions } from "./DatasetActions";
import { DatasetLead } from "./DatasetLead";
import { useShapeLabel } from "./labels";
import { ReportTab } from "./report/ReportTab";
import { RowsTab } from "./rows/RowsTab";
import { Score } from "./Score";
import { StorageTab } from "./StorageTab";
import type { DatasetSearch, DatasetTab } from "./search";
import { useDatasetChanges } from "./useDatasetChanges";
import { VersionPicker } from "./VersionPicker";
import { VersionsTab } from "./versions/VersionsTab";

interface Props {
  /** What the address calls the dataset. */
  param: string;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

/** One dataset: its rows, versions, quality report, columns and storage. */
export function DatasetPage({ param, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const projectParam = useProjectParam();
  const shapeLabel = useShapeLabel();
  const { value: dataset, version: etag } = useSuspenseQuery(
    datasetOptions(project.uuid, param),
  ).data;
  const label = search.version ?? dataset.version;
  const { data: version, error, refetch } = useQuery(versionOptions(dataset.uuid, label));
  useDatasetChanges();
  const tab = search.tab ?? "rows";
  const props = { dataset, search, onSearch };
  return (
    <>
      <PageHeader
        title={dataset.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: projectParam }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="datasets" to="/p/$project/datasets" params={{ project: projectParam }}>
            {t`Datasets`}
          </AnchorLink>,
        ]}
        aside={<Status status={dataset.status} />}
        lead={<DatasetLead dataset={dataset} />}
        actions={
          <DatasetActions dataset={dataset} version={label} columns={version?.columns ?? []} />
        }
      />
      <Figures
        items={[
          {
            label: t`Version`,
            value: (
              <VersionPicker
                dataset={dataset}
                value={label}
                onChange={(chosen) =>
                  onSearch({
                    ...search,
                    version: chosen === dataset.version ? undefined : chosen,
                    row: undefined,
                    made: undefined,
                  })
                }
              />
            ),
          },
          { label: t`Rows`, value: <Num value={version?.row_count ?? dataset.row_count} /> },
          { label: t`Rows are`, value: shapeLabel(version?.shape ?? dataset.shape) },
          {
            label: t`Quality`,
            value: <Score report={version ? version.report : dataset.quality_report} />,
          },
          { label: t`Size`, value: <Size bytes={version?.file_size ?? dataset.size} /> },
          {
            label: t`Made`,
            value: <TimeAgo time={version?.created_at ?? dataset.updated_at} />,
          },
          { label: t`Id`, value: <Id value={dataset.uuid} /> },
        ]}
      />
      <Tabs
        value={tab}
        onChange={(value) =>
          onSearch({ version: search.version, tab: (value ?? undefined) as DatasetTab | undefined })
        }
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="rows">{t({ message: "Rows", context: "data" })}</Tabs.Tab>
          <Tabs.Tab value="versions">{t`Versions`}</Tabs.Tab>
          <Tabs.Tab value="report">{t`Quality report`}</Tabs.Tab>
          <Tabs.Tab value="columns">{t`Columns`}</Tabs.Tab>
          <Tabs.Tab value="storage">{t`Settings and storage`}</Tabs.Tab>
        </Tabs.List>
        <ErrorNotice error={error} onRetry={() => void refetch()} />
        {!version && !error && <TableSkeleton />}
        {version && (
          <>
            <Tabs.Panel value="rows">
              <RowsTab key={version.uuid} {...props} version={version} />
            </Tabs.Panel>
            <Tabs.Panel value="versions">
              <VersionsTab {...props} />
            </Tabs.Panel>
            <Tabs.Panel value="report">
              <ReportTab {...props} version={version} />
            </Tabs.Panel>
            <Tabs.Panel value="columns">
              <ColumnsTab key={version.uuid} {...props} version={version} />
            </Tabs.Panel>
            <Tabs.Panel value="storage">
              <StorageTab dataset={dataset} etag={etag} />
            </Tabs.Panel>
          </>
        )}
      </Tabs>
    </>
  );
}
