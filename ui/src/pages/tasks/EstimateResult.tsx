import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Alert, Title } from "@mantine/core";
import type { ReactNode } from "react";
import type { TrainingEstimate } from "@/api/estimates";
import { Figures } from "@/design/Figures";
import { formatDuration, formatPercent, formatSize } from "@/design/format";
import { Num } from "@/design/values";
import classes from "./EstimateResult.module.css";

const MIB = 1024 * 1024;

interface Range {
  low: number;
  expected: number;
  high: number;
}

/** Show what a training would do: figures, what could be better, and rows as the model reads them. */
export function EstimateResult({ estimate }: { estimate: TrainingEstimate }) {
  const { t, i18n } = useLingui();
  const { rows, tokens, steps, seconds } = estimate;
  const chinese = i18n.locale.startsWith("zh");
  return (
    <>
      <Figures
        items={[
          { label: t`Peak memory`, value: <MemoryRange value={estimate.memory_mb} /> },
          { label: t`Duration`, value: <DurationRange value={seconds} /> },
          { label: t`Steps`, value: <Num value={steps.total} /> },
          { label: t`Rows used`, value: <Num value={rows.used} /> },
          { label: t`Rows cut`, value: <Num value={rows.truncated} /> },
          { label: t`Rows dropped`, value: <Num value={rows.dropped} /> },
          { label: t`Tokens in one pass`, value: <Num value={tokens.per_epoch} /> },
          ...(tokens.learned_per_epoch === null
            ? []
            : [{ label: t`Of these learned`, value: <Num value={tokens.learned_per_epoch} /> }]),
          { label: t`Padding`, value: formatPercent(tokens.padding_share, i18n.locale) },
        ]}
      />
      <p className="secondary">
        {seconds.source === "history" ? (
          <Plural
            value={seconds.trainings ?? 0}
            one="The time follows from # earlier training of this kind."
            other="The time follows from # earlier trainings of this kind."
          />
        ) : (
          <Plural
            value={seconds.steps ?? 0}
            one="The time follows from # measured step."
            other="The time follows from # measured steps."
          />
        )}
      </p>
      {estimate.warnings.map((warning) => (
        <Alert key={warning.code} color="yellow" variant="outline" mb="sm">
          {chinese ? warning.message_zh : warning.message}
        </Alert>
      ))}
      {rows.dropped_rows.map((dropped) => (
        <Examples
          key={dropped.reason}
          title={
            <Trans>
              <Num value={dropped.rows} /> rows dropped: {dropped.reason}
            </Trans>
          }
          examples={dropped.examples}
        />
      ))}
      {rows.truncated_examples.length > 0 && (
        <Examples title={t`Rows that are cut`} examples={rows.truncated_examples} />
      )}
      <Title order={3} mt="md" mb="xs">{t`The first rows as the model reads them`}</Title>
      <p className="secondary">{t`Marked text is learned.`}</p>
      {estimate.first_rows.map((row) => (
        <figure key={`${row.number}.${row.part}`} className={classes.row}>
          <figcaption className="secondary">
            {row.part === null ? t`Row ${row.number}` : t`Row ${row.number}, ${row.part}`}
          </figcaption>
          <pre className={classes.text}>
            {row.segments.map((segment, place) =>
              segment.learned ? (
                // biome-ignore lint/suspicious/noArrayIndexKey: segments never change their order
                <mark key={place}>{segment.text}</mark>
              ) : (
                // biome-ignore lint/suspicious/noArrayIndexKey: segments never change their order
                <span key={place}>{segment.text}</span>
              ),
            )}
            {row.cut && "…"}
          </pre>
        </figure>
      ))}
    </>
  );
}

interface ExamplesProps {
  title: ReactNode;
  examples: readonly { row: number; text: string }[];
}

function Examples({ title, examples }: ExamplesProps) {
  const { t } = useLingui();
  return (
    <details className={classes.examples}>
      <summary>{title}</summary>
      <ul>
        {examples.map((example) => (
          <li key={example.row}>
            <span className="secondary">{t`Row ${example.row}`}</span> {example.text}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Show an amount of memory, given in MiB, with its range. */
export function MemoryRange({ value }: { value: Range }) {
  const { i18n } = useLingui();
  const text = (amount: number) => formatSize(amount * MIB, i18n.locale);
  return <RangeText value={value} text={text} />;
}

/** Show a duration in seconds with its range. */
export function DurationRange({ value }: { value: Range }) {
  const { i18n } = useLingui();
  return <RangeText value={value} text={(seconds) => formatDuration(seconds, i18n.locale)} />;
}

function RangeText({ value, text }: { value: Range; text: (amount: number) => string }) {
  const [low, expected, high] = [text(value.low), text(value.expected), text(value.high)];
  return (
    <Trans>
      {expected} <span className="secondary">{`(${low} – ${high})`}</span>
    </Trans>
  );
}
