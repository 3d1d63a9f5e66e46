import { Plural, useLingui } from "@lingui/react/macro";
import type { Dataset } from "@/api/types";

/** The one sentence that says how a dataset stands. */
export function DatasetLead({ dataset }: { dataset: Dataset }) {
  const { t } = useLingui();
  if (dataset.status === "processing") return <>{t`The quality report is being made.`}</>;
  if (dataset.status === "failed")
    return <>{t`The quality report could not be made; its task says why.`}</>;
  const report = dataset.quality_report;
  if (!report) return <>{t`There is no quality report of the current version yet.`}</>;
  const findings = Array.isArray(report.findings) ? report.findings : [];
  const serious = findings.filter((finding) => isSerious(finding)).length;
  if (serious > 0)
    return (
      <Plural
        value={serious}
        one="The report names # problem to look at before training."
        other="The report names # problems to look at before training."
      />
    );
  return <>{t`The report found no errors and no warnings.`}</>;
}

function isSerious(finding: unknown): boolean {
  if (typeof finding !== "object" || finding === null || !("severity" in finding)) return false;
  return finding.severity === "error" || finding.severity === "warning";
}
