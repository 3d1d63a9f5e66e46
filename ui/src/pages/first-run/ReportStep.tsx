import { Plural, useLingui } from "@lingui/react/macro";
import { Skeleton, Text } from "@mantine/core";
import { ErrorNotice } from "@/design/ErrorNotice";
import { LinkInto } from "@/design/refs";
import type { StepProps } from "./FirstRunPage";
import type { Report } from "./report";
import { Step } from "./Step";
import classes from "./Step.module.css";

interface Props extends StepProps {
  report: Report | undefined;
  error: unknown;
  onRetry: () => void;
}

/** Show what the quality report found in the sample. */
export function ReportStep({ search, number, state, report, error, onRetry }: Props) {
  const { t, i18n } = useLingui();
  const isChinese = i18n.locale.startsWith("zh");
  const severity: Record<string, string> = {
    error: t`Error`,
    warning: t`Warning`,
    info: t`Hint`,
  };
  return (
    <Step
      number={number}
      state={state}
      title={t`Quality report`}
      duration={t`about 10 seconds`}
      text={t`Each version of a dataset is checked: copies, personal data, damaged text, rows that nobody can learn from. Each finding says which rows are meant and how it can be fixed.`}
    >
      <ErrorNotice error={error} onRetry={onRetry} />
      {!report && !error && <Skeleton height={120} role="status" aria-label={t`Loading`} />}
      {report && (
        <>
          <Text size="sm" mb="xs">
            {t`Score ${report.score} of 100.`}{" "}
            <Plural
              value={report.findings.length}
              _0="Nothing was found."
              one="# finding:"
              other="# findings:"
            />
          </Text>
          <ul className={classes.findings}>
            {report.findings.map((finding) => (
              <li key={finding.code}>
                <span className="secondary">{severity[finding.severity] ?? finding.severity}</span>
                <span className={classes.count}>
                  {new Intl.NumberFormat(i18n.locale).format(finding.count)}
                </span>
                <span>{isChinese ? finding.message_zh : finding.message}</span>
              </li>
            ))}
          </ul>
          <Text size="sm" mt="xs">
            <LinkInto
              project={search.project ?? ""}
              kind="dataset"
              section="datasets"
              uuid={search.dataset ?? ""}
              name={t`Look at the rows`}
            />
          </Text>
        </>
      )}
    </Step>
  );
}
