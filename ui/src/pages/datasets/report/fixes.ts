/** Which fixes a report offers. Pure functions. */
import type { FixAction, Report } from "@/api/reports";

/** Return the possible fixes of each finding; columns with the same finding share them. */
export function fixesFor(report: Report): Map<string, readonly FixAction[]> {
  return new Map(
    report.findings
      .filter((finding) => finding.fixes.length > 0)
      .map((finding) => [finding.code, finding.fixes]),
  );
}
