import { Plural, useLingui } from "@lingui/react/macro";
import { Anchor, Select, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import type { Finding, FixAction } from "@/api/reports";
import { formatPercent } from "@/design/format";
import { useFixLabel } from "../labels";
import classes from "./Report.module.css";
import { SeverityIcon } from "./SeverityIcon";

interface Props {
  finding: Finding;
  fix: FixAction | null;
  /** Chooses a fix; absent where there is none, or the user may not. */
  onFix?: (action: FixAction | null) => void;
  /** Shows the rows of the finding, or one of them. */
  onRows: (row?: number) => void;
}

/** These need a tokenizer or other data, or are only counted: their rows can't be listed. */
const WITHOUT_ROWS =
  /^(over_length|template_refuses|leakage_\w+|contamination|boilerplate|label_imbalance)$/;

/** One finding: what it is, why it matters, where it is, and what to do about it. */
export function FindingRow({ finding, fix, onFix, onRows }: Props) {
  const { t, i18n } = useLingui();
  const fixLabel = useFixLabel();
  const [open, setOpen] = useState(false);
  const chinese = i18n.locale.startsWith("zh");
  const { code, examples, column, count, share } = finding;
  const message = chinese ? finding.message_zh : finding.message;
  return (
    <li className={classes.finding}>
      <SeverityIcon severity={finding.severity} />
      <div>
        <span className={classes.what}>{message}</span>
        <p className={classes.effect}>{chinese ? finding.effect_zh : finding.effect}</p>
        <div className={classes.facts}>
          <span>
            <Plural value={count} one="# row" other="# rows" /> ({formatPercent(share, i18n.locale)}
            )
          </span>
          {column && <span className="mono">{column}</span>}
          <span className="secondary mono">{code}</span>
          {examples.length > 0 && (
            <Anchor component="button" aria-expanded={open} onClick={() => setOpen(!open)}>
              {open ? t`Hide the examples` : t`Examples`}
            </Anchor>
          )}
          {!WITHOUT_ROWS.test(code) && (
            <Anchor component="button" onClick={() => onRows()}>
              {t`All its rows`}
            </Anchor>
          )}
        </div>
        {open && (
          <ul className={classes.examples}>
            {examples.map(({ row, text }) => (
              <li key={`${row}-${text}`} className={classes.example}>
                <UnstyledButton fz="sm" c="var(--mantine-color-anchor)" onClick={() => onRows(row)}>
                  {t`Row ${i18n.number(row)}`}
                </UnstyledButton>
                <span className={classes.exampleText}>{text}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
      <div className={classes.fix}>
        {onFix && (
          <Select
            size="xs"
            clearable
            allowDeselect
            aria-label={t`Fix for: ${message}`}
            placeholder={t`No fix`}
            value={fix}
            data={finding.fixes.map((action) => ({ value: action, label: fixLabel(action) }))}
            onChange={(action) => onFix(action as FixAction | null)}
          />
        )}
      </div>
    </li>
  );
}
