import { useLingui } from "@lingui/react/macro";
import { Button, Text } from "@mantine/core";
import { IconReportAnalytics } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { DatasetVersion } from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import { isBeingMade, reportOptions, useMakeReport } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { useComplain } from "@/design/useComplain";
import type { DatasetSearch } from "../search";
import { ReportChanges } from "./ReportChanges";
import { ReportHead } from "./ReportHead";
import { ReportToolbar } from "./ReportToolbar";
import { WholeReport } from "./WholeReport";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

/** What the checks say about a version: whether to train on it, and what to repair first. */
export function ReportTab({ dataset, version, search, onSearch }: Props) {
  const { t } = useLingui();
  const report = useQuery(reportOptions(dataset.uuid, version.version, search.made));
  const toolbar = (
    <ReportToolbar
      dataset={dataset}
      version={version.version}
      search={search}
      onSearch={onSearch}
      report={report.data}
    />
  );
  if (isBeingMade(report.error))
    return (
      <EmptyState
        icon={<IconReportAnalytics size={32} stroke={1.5} />}
        title={t`The report is being made`}
        action={<Status status="processing" />}
      >
        {t`All rows are read once. The page shows the report as soon as it is there; you can leave it meanwhile.`}
      </EmptyState>
    );
  if (report.error && "status" in report.error && report.error.status === 404)
    return <NoReport dataset={dataset} version={version.version} />;
  if (report.error)
    return <ErrorNotice error={report.error} onRetry={() => void report.refetch()} />;
  if (!report.data) return <PageSkeleton />;
  return (
    <>
      {toolbar}
      <ReportHead dataset={dataset} version={version.version} report={report.data} />
      {search.since ? (
        <ReportChanges
          dataset={dataset}
          version={version.version}
          compared={{ since: search.since, made: search.made, sinceMade: search.sinceMade }}
        />
      ) : (
        <WholeReport
          dataset={dataset}
          version={version}
          report={report.data}
          onRows={(finding, row) =>
            onSearch({ version: search.version, tab: "rows", finding, row })
          }
        />
      )}
    </>
  );
}

function NoReport({ dataset, version }: { dataset: Dataset; version: string }) {
  const { t } = useLingui();
  const can = useCanHere();
  const complain = useComplain();
  const make = useMakeReport(dataset.uuid);
  return (
    <EmptyState
      icon={<IconReportAnalytics size={32} stroke={1.5} />}
      title={t`No report of ${version} yet`}
      action={
        can("datasets:write") ? (
          <Button
            loading={make.isPending}
            onClick={() =>
              make.mutate({ version, body: { max_length: 512 } }, { onError: complain })
            }
          >
            {t`Make the report`}
          </Button>
        ) : (
          <Text size="sm">{t`Somebody who may change datasets can have it made.`}</Text>
        )
      }
    >
      {t`The report finds duplicates, personal data, damaged text, empty answers and more, and offers fixes for most of it.`}
    </EmptyState>
  );
}
