import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Text, Title } from "@mantine/core";
import { IconPencil, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  type DatasetVersion,
  ROWS_PER_PAGE,
  type RowFilter,
  rowsPageOptions,
} from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import type { Report } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { EditRow } from "./EditRow";
import { findingsOf } from "./marks";
import { RowContent } from "./RowContent";
import { RowFindings } from "./RowFindings";
import classes from "./RowsTab.module.css";
import { useMarks } from "./useMarks";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  place: number;
  filter: RowFilter;
  report: Report | undefined;
  onClose: () => void;
}

/** One row in full beside the grid, with what the report found in it. */
export function RowPane({ dataset, version, place, filter, report, onClose }: Props) {
  const { t, i18n } = useLingui();
  const can = useCanHere();
  const [editing, setEditing] = useState(false);
  const page = Math.floor(place / ROWS_PER_PAGE);
  const { data, error, refetch } = useQuery(rowsPageOptions(dataset.uuid, version.version, page));
  const row = data?.[place % ROWS_PER_PAGE]?.row;
  const marksOf = useMarks(filter, report);
  const title = t`Row ${i18n.number(place)}`;
  return (
    <aside className={classes.pane} aria-label={title}>
      <div className={classes.paneHead}>
        <Title order={2}>{title}</Title>
        {can("datasets:write") && row && !editing && (
          <ActionIcon aria-label={t`Edit the row`} onClick={() => setEditing(true)}>
            <IconPencil size={16} />
          </ActionIcon>
        )}
        <ActionIcon ml="auto" aria-label={t`Close`} onClick={onClose}>
          <IconX size={16} />
        </ActionIcon>
      </div>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!row && !error && (data ? <Text>{t`There is no such row.`}</Text> : <TableSkeleton />)}
      {row && editing && (
        <EditRow
          key={place}
          dataset={dataset}
          version={version}
          place={place}
          row={row}
          onDone={() => setEditing(false)}
        />
      )}
      {row && !editing && (
        <>
          <RowFindings
            codes={[
              ...new Set([
                ...(filter.finding ? [filter.finding] : []),
                ...findingsOf(report, place),
              ]),
            ]}
            report={report}
          />
          <RowContent row={row} shape={version.shape} marks={marksOf(place)} />
          <details>
            <summary>{t`As JSON`}</summary>
            <Code label={t`As JSON`} wrap>
              {JSON.stringify(row, null, 2)}
            </Code>
          </details>
        </>
      )}
    </aside>
  );
}
