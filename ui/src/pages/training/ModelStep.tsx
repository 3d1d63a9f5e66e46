import { useLingui } from "@lingui/react/macro";
import { Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { modelChoicesOptions } from "@/api/choices";
import { useProject } from "@/api/projects";
import { FormSection } from "@/design/FormSection";
import { formatSize } from "@/design/format";
import { useModelKinds } from "@/design/modelKinds";
import type { StepProps } from "./steps";

export function ModelStep({ draft, onChange }: StepProps) {
  const { t, i18n } = useLingui();
  const kinds = useModelKinds();
  const project = useProject();
  const models = useQuery(modelChoicesOptions(project.uuid)).data?.items ?? [];
  const ready = models.filter((model) => model.status === "ready");
  return (
    <FormSection
      title={t`Base model`}
      description={t`The model that is tuned. It stays as it is; the result is a small adapter beside it.`}
    >
      <Select
        label={t`Base model`}
        description={t`A larger model knows more, and needs more memory and time.`}
        withAsterisk
        searchable
        placeholder={t`Choose a model`}
        nothingFoundMessage={t`No model of this name; import one on the page of models`}
        value={draft.model || null}
        onChange={(value) => onChange({ model: value ?? "" })}
        data={ready.map((model) => ({
          value: model.uuid,
          label: [
            model.version ? `${model.name}@${model.version}` : model.name,
            formatSize(model.size, i18n.locale),
            ...(model.kind === "language_model" ? [] : [kinds[model.kind]]),
          ].join(" · "),
        }))}
      />
      <TextInput
        label={t`Name of the experiment`}
        description={t`By which you find it again.`}
        withAsterisk
        maxLength={200}
        value={draft.name}
        onChange={(event) => onChange({ name: event.currentTarget.value })}
      />
      <TextInput
        label={t`Name of the tuned model`}
        description={t`The registry keeps each result as the next version of this name.`}
        maxLength={100}
        value={draft.outputName}
        onChange={(event) => onChange({ outputName: event.currentTarget.value })}
      />
    </FormSection>
  );
}
