import { useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { datasetOptions } from "@/api/datasets";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import type { NewDatasetSearch, Source } from "../search";
import { ImportForm } from "./ImportForm";
import { UploadForm } from "./UploadForm";
import { UploadList } from "./UploadList";

interface Props {
  search: NewDatasetSearch;
  onSearch: (search: NewDatasetSearch) => void;
}

/** Bring rows in: from this machine, an address, an S3 store or a hub. */
export function NewDatasetPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const found = useQuery({
    ...datasetOptions(project.uuid, search.dataset ?? ""),
    enabled: search.dataset !== undefined,
  });
  const dataset = search.dataset ? found.data?.value : undefined;
  const source = search.source ?? "upload";
  const title = dataset ? t`Add a version of ${dataset.name}` : t`Add a dataset`;
  const ready = !search.dataset || dataset;
  return (
    <>
      <PageHeader
        title={title}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="datasets" to="/p/$project/datasets" params={{ project: param }}>
            {t`Datasets`}
          </AnchorLink>,
        ]}
        lead={
          dataset
            ? t`The rows become the next version; ${dataset.version} stays as it is.`
            : t`The rows become version v1, and its quality report is created immediately.`
        }
      />
      {!can("datasets:write") ? (
        <EmptyState
          icon={<IconLock size={32} stroke={1.5} />}
          title={t`You may not add datasets here`}
        >
          {t`Ask an owner of the project for a role that may write datasets.`}
        </EmptyState>
      ) : (
        <>
          <UploadList project={project.uuid} />
          <ErrorNotice error={found.error} onRetry={() => void found.refetch()} />
          {!ready && !found.error && <PageSkeleton />}
          {ready && (
            <Tabs
              value={source}
              onChange={(value) => onSearch({ ...search, source: value as Source })}
              keepMounted={false}
            >
              <Tabs.List mb="md">
                <Tabs.Tab value="upload">{t`From this computer`}</Tabs.Tab>
                <Tabs.Tab value="url">{t`From an address`}</Tabs.Tab>
                <Tabs.Tab value="s3">S3</Tabs.Tab>
                <Tabs.Tab value="hub">{t`From a hub`}</Tabs.Tab>
              </Tabs.List>
              <Tabs.Panel value="upload">
                <UploadForm dataset={dataset} />
              </Tabs.Panel>
              {(["url", "s3", "hub"] as const).map((kind) => (
                <Tabs.Panel key={kind} value={kind}>
                  <ImportForm kind={kind} dataset={dataset} />
                </Tabs.Panel>
              ))}
            </Tabs>
          )}
        </>
      )}
    </>
  );
}
