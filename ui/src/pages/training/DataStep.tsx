import { Trans, useLingui } from "@lingui/react/macro";
import { Alert, Textarea } from "@mantine/core";
import { useCanHere } from "@/api/projects";
import { FormSection } from "@/design/FormSection";
import { DatasetLink } from "@/design/refs";
import { DatasetPicker } from "./DatasetPicker";
import type { StepProps } from "./steps";

export function DataStep({ draft, onChange, facts }: StepProps) {
  const { t, i18n } = useLingui();
  const can = useCanHere();
  const chinese = i18n.locale.startsWith("zh");
  const failures = facts.gate?.failures ?? [];
  return (
    <FormSection
      title={t`Data`}
      description={t`What the model learns from, and rows it never sees, by which it is judged.`}
    >
      <DatasetPicker
        label={t`Training data`}
        description={t`Conversations, question and answer pairs, plain text, texts with labels, texts that belong together, pairs of a chosen and a rejected answer, or answers labelled good or bad.`}
        dataset={draft.dataset}
        version={draft.version}
        onChange={(dataset, version) => onChange({ dataset, version })}
        required
      />
      <DatasetPicker
        label={t`Held-out data`}
        description={t`Optional. Its loss shows whether the model learns, or only remembers.`}
        dataset={draft.evalDataset}
        version={draft.evalVersion}
        onChange={(evalDataset, evalVersion) => onChange({ evalDataset, evalVersion })}
      />
      {failures.length > 0 && (
        <Alert color="red" variant="outline" title={t`The data fails the quality gate`}>
          <ul>
            {failures.map((failure) => (
              <li key={failure.rule}>{chinese ? failure.text_zh : failure.text}</li>
            ))}
          </ul>
          {facts.dataset && (
            <Trans>
              Repair it first: <DatasetLink uuid={facts.dataset.uuid} name={facts.dataset.name} />
            </Trans>
          )}
          {can("datasets:override") && (
            <Textarea
              mt="sm"
              label={t`Or say why to train all the same`}
              description={t`The audit trail keeps the reason.`}
              value={draft.gateReason}
              onChange={(event) => onChange({ gateReason: event.currentTarget.value })}
            />
          )}
        </Alert>
      )}
    </FormSection>
  );
}
