import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { DatasetVersion, Row } from "@/api/datasets";
import { codeOf } from "@/api/problem";
import { type FixAction, fixPreviewOptions, type Report } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { useFixLabel } from "../labels";
import { RowContent } from "../rows/RowContent";
import { useFindingTitle } from "../rows/useFindingTitle";
import { CellChanges } from "../versions/DiffRow";
import { changedCells } from "./changedCells";
import classes from "./Report.module.css";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  report: Report;
  code: string;
  action: FixAction;
}

/** Some rows of a finding as a fix leaves them. */
export function FixPreview({ dataset, version, report, code, action }: Props) {
  const { t, i18n } = useLingui();
  const label = useFixLabel();
  const title = useFindingTitle(report);
  const { data, error, refetch } = useQuery(
    fixPreviewOptions(dataset.uuid, version.version, code, action),
  );
  const shown = data?.items.length ?? 0;
  return (
    <section className={classes.preview} aria-label={title(code)}>
      <h3 className={classes.previewTitle}>
        {title(code)}: {label(action)}
      </h3>
      {codeOf(error) === "dataset.finding_without_rows" ? (
        <Text size="sm" c="dimmed">
          {t`These rows can't be shown in advance. Compare the versions afterwards to see them.`}
        </Text>
      ) : (
        <ErrorNotice error={error} onRetry={() => void refetch()} />
      )}
      {!data && !error && <TableSkeleton rows={3} />}
      {data && (
        <Text size="xs" c="dimmed">
          {t`${shown} of ${i18n.number(data.count)} rows`}
        </Text>
      )}
      {data?.items.map(({ row, before, after }) => (
        <div key={row}>
          <Text size="xs" c="dimmed" mt="sm" mb={4}>
            {t`Row ${i18n.number(row)}`}
          </Text>
          <Change before={before} after={after} shape={version.shape} />
        </div>
      ))}
    </section>
  );
}

function Change(props: { before: Row; after: Row | null; shape: string | null }) {
  const { t } = useLingui();
  const { before, after, shape } = props;
  if (!after)
    return (
      <div className={classes.gone}>
        <Text size="xs" fw={600}>
          {t`Will be removed`}
        </Text>
        <RowContent row={before} shape={shape} marks={[]} />
      </div>
    );
  const cells = changedCells(before, after);
  if (Object.keys(cells).length === 0)
    return (
      <Text size="sm" c="dimmed">
        {t`This fix can't change this row; it stays as it is.`}
      </Text>
    );
  return <CellChanges cells={cells} />;
}
