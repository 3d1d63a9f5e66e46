import { useLingui } from "@lingui/react/macro";
import { Title } from "@mantine/core";
import type { DatasetVersion } from "@/api/datasets";
import type { Report, Severity } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { formatPercent } from "@/design/format";
import { useSeverityLabel } from "../labels";
import { Bars } from "./Bars";
import classes from "./Bars.module.css";
import { ComparedWith } from "./ComparedWith";
import { Findings } from "./Findings";
import { TokenHistogram } from "./TokenHistogram";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  report: Report;
  /** Shows the rows of a finding, or one of them. */
  onRows: (finding: string | undefined, row?: number) => void;
}

const SEVERITIES: readonly Severity[] = ["error", "warning", "info"];
const MOST = 10;

/** All of a report: what was found and how to repair it, then figures about the rows. */
export function WholeReport({ dataset, version, report, onRows }: Props) {
  const { t, i18n } = useLingui();
  const severityLabel = useSeverityLabel();
  const languageNames = new Intl.DisplayNames(i18n.locale, { type: "language", fallback: "code" });
  const { tokens, languages, labels } = report;
  const affected = SEVERITIES.map((severity) => ({
    label: severityLabel(severity),
    tone: severity,
    value: report.findings
      .filter((finding) => finding.severity === severity)
      .reduce((sum, finding) => sum + finding.count, 0),
  })).filter(({ value }) => value > 0);
  return (
    <>
      <Findings dataset={dataset} version={version} report={report} onRows={onRows} />
      <Title order={2} mt="lg" mb="md">
        {t`The rows in figures`}
      </Title>
      <div className={classes.charts}>
        {affected.length > 0 && (
          <Bars
            title={t`Rows with findings, by severity`}
            bars={affected}
            note={t`A row with several findings counts several times.`}
          />
        )}
        {tokens && <TokenHistogram tokens={tokens} />}
        {languages && (
          <Bars
            title={t`Languages`}
            bars={Object.entries(languages.shares)
              .slice(0, MOST)
              .map(([code, share]) => ({
                label: languageNames.of(code) ?? code,
                value: share,
                text: formatPercent(share, i18n.locale),
              }))}
            note={t`Of the ${i18n.number(languages.rows)} rows whose language is clear.`}
          />
        )}
        {labels && labels.length > 0 && (
          <Bars
            title={t`Labels`}
            bars={labels.slice(0, MOST).map(({ label, rows }) => ({ label, value: rows }))}
            note={
              labels.length > MOST
                ? t`The ${MOST} most frequent of ${labels.length} labels.`
                : undefined
            }
          />
        )}
      </div>
      <ComparedWith compared={report.compared_with ?? []} />
    </>
  );
}
