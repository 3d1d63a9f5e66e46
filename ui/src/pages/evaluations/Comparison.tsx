import { useLingui } from "@lingui/react/macro";
import { formatPercent } from "@/design/format";
import { Metric } from "@/design/values";
import classes from "./Evaluation.module.css";
import { type EvaluationResult, improvement } from "./result";

/** The figures of the tuned model beside those of its base model. */
export function Comparison({ result }: { result: EvaluationResult }) {
  const { t, i18n } = useLingui();
  const { base, model } = result;
  const rows = [
    { key: "loss" as const, label: t`Held-out loss` },
    { key: "perplexity" as const, label: t`Perplexity` },
  ];
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          <th scope="col">{t`Lower is better`}</th>
          {base && <th scope="col">{t`Base model`}</th>}
          <th scope="col">{base ? t`Tuned model` : t`Model`}</th>
          {base && <th scope="col">{t`Better by`}</th>}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ key, label }) => {
          const gain = improvement(base?.[key] ?? null, model?.[key] ?? null);
          return (
            <tr key={key}>
              <th scope="row">{label}</th>
              {base && (
                <td>
                  <Metric value={base[key]} />
                </td>
              )}
              <td>
                <Metric value={model?.[key]} />
              </td>
              {base && <td>{gain === null ? "–" : formatPercent(gain, i18n.locale)}</td>}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
