import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { DatasetVersion } from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import type { FixAction, Report } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { useDraft } from "@/design/useDraft";
import { FindingRow } from "./FindingRow";
import { FixDialog } from "./FixDialog";
import { fixesFor } from "./fixes";
import classes from "./Report.module.css";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  report: Report;
  onRows: (finding: string | undefined, row?: number) => void;
}

/** What was found, worst first, with the choice of what to do about each. */
export function Findings({ dataset, version, report, onRows }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const [chosen, setChosen, clear] = useDraft<Record<string, FixAction>>(`fix.${version.uuid}`, {});
  const [asking, setAsking] = useState(false);
  if (report.findings.length === 0)
    return <Text>{t`Nothing was found. The rows are ready for training.`}</Text>;
  const fixable = fixesFor(report);
  const fixes = Object.fromEntries(
    Object.entries(chosen).filter(([code, action]) => fixable.get(code)?.includes(action)),
  );
  const count = Object.keys(fixes).length;
  const choose = (code: string, action: FixAction | null) => {
    const { [code]: _, ...others } = chosen;
    setChosen(action ? { ...others, [code]: action } : others);
  };
  const suggested = Object.fromEntries(
    report.findings
      .filter((finding) => finding.severity !== "info")
      .flatMap((finding) => {
        const [gentlest] = finding.fixes;
        return gentlest ? [[finding.code, gentlest] as const] : [];
      }),
  );
  return (
    <>
      <Title order={2} mb="xs">
        {t`What was found`}
      </Title>
      <ul className={classes.findings}>
        {report.findings.map((finding) => (
          <FindingRow
            key={`${finding.code}-${finding.column}`}
            finding={finding}
            fix={fixes[finding.code] ?? null}
            onFix={
              can("datasets:write") && finding.fixes.length > 0
                ? (action) => choose(finding.code, action)
                : undefined
            }
            onRows={(row) => onRows(row === undefined ? finding.code : undefined, row)}
          />
        ))}
      </ul>
      {can("datasets:write") && fixable.size > 0 && (
        <div className={classes.fixBar} role="toolbar" aria-label={t`Fixes`}>
          <span>
            {count > 0 ? (
              <Plural
                value={count}
                one="# fix chosen. It makes a new version; the rows of this one stay as they are."
                other="# fixes chosen. They make a new version; the rows of this one stay as they are."
              />
            ) : (
              t`Choose fixes above, or take the gentlest for each error and warning.`
            )}
          </span>
          {count === 0 && Object.keys(suggested).length > 0 && (
            <Button variant="default" onClick={() => setChosen(suggested)}>
              {t`Choose the gentlest fixes`}
            </Button>
          )}
          {count > 0 && (
            <>
              <Button onClick={() => setAsking(true)}>{t`Preview the changes`}</Button>
              <Button variant="subtle" color="gray" onClick={() => setChosen({})}>
                {t`Clear`}
              </Button>
            </>
          )}
        </div>
      )}
      <FixDialog
        dataset={dataset}
        version={version}
        report={report}
        fixes={fixes}
        opened={asking && count > 0}
        onClose={() => setAsking(false)}
        onDone={clear}
      />
    </>
  );
}
