import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ROWS_PER_PAGE, type RowFilter, rowsPageOptions, useFoundRows } from "@/api/datasets";
import type { Report } from "@/api/reports";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { useOnVisible } from "@/design/table/useOnVisible";
import { findingsOf } from "./marks";
import { RowContent } from "./RowContent";
import { RowFindings } from "./RowFindings";
import classes from "./RowsTab.module.css";
import { useMarks } from "./useMarks";

interface Props {
  dataset: string;
  version: string;
  total: number;
  filter: RowFilter;
  shape: string | null;
  report: Report | undefined;
  empty: ReactNode;
  place: number;
  onPlace: (place: number | undefined) => void;
}

/** Rows in full, one below the other: for reading, not for finding. */
export function ReadingView(props: Props) {
  const { filter, shape, report, empty } = props;
  const { t, i18n } = useLingui();
  const rows = useReading(props);
  const marksOf = useMarks(filter, report);
  const sentinel = useOnVisible(rows.more);
  if (rows.error) return <ErrorNotice error={rows.error} onRetry={rows.retry} />;
  if (!rows.items) return <PageSkeleton />;
  if (rows.items.length === 0) return <>{empty}</>;
  return (
    <>
      {rows.pager}
      <ol className={classes.cards}>
        {rows.items.map(({ place, row }) => (
          <li key={place} className={classes.card}>
            <div className={classes.cardHead}>
              <Text fw={500} size="xs" c="dimmed">
                {t`Row ${i18n.number(place)}`}
              </Text>
              <RowFindings
                codes={[
                  ...new Set([
                    ...(filter.finding ? [filter.finding] : []),
                    ...findingsOf(report, place),
                  ]),
                ]}
                report={report}
              />
            </div>
            <RowContent row={row} shape={shape} marks={marksOf(place)} />
          </li>
        ))}
      </ol>
      {rows.hasMore ? <div ref={sentinel}>{rows.loading && <PageSkeleton />}</div> : rows.pager}
    </>
  );
}

/** Return a page of all rows with its pager, or the rows found so far. */
function useReading({ dataset, version, total, filter, place, onPlace }: Props) {
  const { t, i18n } = useLingui();
  const filtered = Boolean(filter.search || filter.where || filter.finding);
  const page = Math.floor(place / ROWS_PER_PAGE);
  const whole = useQuery({ ...rowsPageOptions(dataset, version, page), enabled: !filtered });
  const found = useFoundRows(dataset, version, filter, filtered);
  if (filtered)
    return {
      items: found.data?.pages.flatMap((each) => each.rows),
      error: found.error,
      retry: () => void found.refetch(),
      hasMore: found.hasNextPage,
      loading: found.isFetchingNextPage,
      more: () => {
        if (found.hasNextPage && !found.isFetching) void found.fetchNextPage();
      },
      pager: null,
    };
  const first = page * ROWS_PER_PAGE;
  const last = Math.min(total, first + ROWS_PER_PAGE) - 1;
  const pager = total > ROWS_PER_PAGE && (
    <Group gap="sm" my="sm">
      <Button
        variant="default"
        disabled={first === 0}
        onClick={() => onPlace(Math.max(0, first - ROWS_PER_PAGE))}
      >
        {t`Earlier rows`}
      </Button>
      <Text size="xs" c="dimmed">
        {t`Rows ${i18n.number(first)} to ${i18n.number(last)} of ${i18n.number(total)}`}
      </Text>
      <Button
        variant="default"
        disabled={last >= total - 1}
        onClick={() => onPlace(first + ROWS_PER_PAGE)}
      >
        {t`Later rows`}
      </Button>
    </Group>
  );
  return {
    items: whole.data,
    error: whole.error,
    retry: () => void whole.refetch(),
    hasMore: false,
    loading: false,
    more: () => {},
    pager,
  };
}
