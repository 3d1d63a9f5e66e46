import { Plural, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { gateOptions, type Report, type Severity } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { useSeverityLabel } from "../labels";
import { ScoreValue } from "../Score";
import classes from "./Report.module.css";
import { SeverityIcon } from "./SeverityIcon";

interface Props {
  dataset: Dataset;
  version: string;
  report: Report;
}

const SEVERITIES: readonly Severity[] = ["error", "warning", "info"];

/** The answer first: the score, the number of findings, and whether one may train on it. */
export function ReportHead({ dataset, version, report }: Props) {
  const { t, i18n } = useLingui();
  const label = useSeverityLabel();
  const gate = useQuery(gateOptions(dataset.uuid, version)).data;
  const chinese = i18n.locale.startsWith("zh");
  const counts = SEVERITIES.map((severity) => ({
    severity,
    count: report.findings.filter((finding) => finding.severity === severity).length,
  })).filter(({ count }) => count > 0);
  const formula = chinese ? report.score_formula_zh : report.score_formula;
  return (
    <div className={classes.head}>
      <div className={classes.score} title={formula}>
        <ScoreValue score={report.score} />
        <span className="secondary">{t`of 100`}</span>
      </div>
      <div>
        <p className={classes.verdict}>
          <Plural
            value={report.findings.length}
            _0="The checks found nothing in this version."
            one="The checks found # thing in this version."
            other="The checks found # things in this version."
          />
        </p>
        <div className={classes.severities}>
          {counts.map(({ severity, count }) => (
            <span key={severity} className={classes.severity}>
              <SeverityIcon severity={severity} />
              {label(severity)} {count}
            </span>
          ))}
        </div>
        {gate && !gate.passed && (
          <div className={classes.gate}>
            <strong>{t`The project's quality gate refuses this version for training:`}</strong>
            <ul>
              {gate.failures.map((failure) => (
                <li key={failure.rule}>{chinese ? failure.text_zh : failure.text}</li>
              ))}
            </ul>
          </div>
        )}
      </div>
    </div>
  );
}
