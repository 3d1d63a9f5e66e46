import { useLingui } from "@lingui/react/macro";
import type { RowFilter } from "@/api/datasets";
import type { Report } from "@/api/reports";
import { findingMarks, literal, type Mark } from "./marks";
import { useFindingTitle } from "./useFindingTitle";

/** Return a function that says what to mark in the texts of a row. */
export function useMarks(filter: RowFilter, report: Report | undefined): (place: number) => Mark[] {
  const { t } = useLingui();
  const title = useFindingTitle(report);
  const searched = filter.search ? literal(filter.search) : null;
  const hits: Mark[] = searched ? [{ pattern: searched, title: t`Searched text` }] : [];
  return (place) => [...hits, ...findingMarks(report, filter.finding, place, title)];
}
