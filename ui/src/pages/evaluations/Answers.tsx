import { useLingui } from "@lingui/react/macro";
import { Text } from "@mantine/core";
import classes from "./Evaluation.module.css";
import type { Answer } from "./result";

/** The answers of both models to the same questions, beside what was expected. */
export function Answers({ answers }: { answers: readonly Answer[] }) {
  const { t } = useLingui();
  if (answers.length === 0)
    return <Text c="dimmed">{t`This evaluation made no answers to compare.`}</Text>;
  return (
    <ol className={classes.answers}>
      {answers.map((answer, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: answers never change their order
        <li key={index}>
          <p className={classes.question}>{answer.question}</p>
          <div className={classes.sides}>
            {answer.expected !== null && <Side label={t`Expected`} text={answer.expected} />}
            {answer.base !== null && <Side label={t`Base model`} text={answer.base} />}
            {answer.model !== null && <Side label={t`Tuned model`} text={answer.model} marked />}
          </div>
        </li>
      ))}
    </ol>
  );
}

function Side({ label, text, marked }: { label: string; text: string; marked?: boolean }) {
  const { t } = useLingui();
  return (
    <div className={classes.side} data-model={marked || undefined}>
      <span className="secondary">{label}</span>
      <p className={classes.text}>{text.trim() || t`(empty)`}</p>
    </div>
  );
}
