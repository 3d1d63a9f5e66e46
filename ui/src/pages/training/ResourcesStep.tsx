import { useLingui } from "@lingui/react/macro";
import { TextInput } from "@mantine/core";
import { FormSection } from "@/design/FormSection";
import { NumberField } from "./NumberField";
import type { StepProps } from "./steps";

export function ResourcesStep({ draft, onChange, facts }: StepProps) {
  const { t } = useLingui();
  return (
    <FormSection
      title={t`Resources`}
      description={t`What is reserved on a worker. The training waits until a worker has it free.`}
    >
      <NumberField
        label={t`GPUs`}
        description={t`0 trains on the processor, which is much slower.`}
        value={draft.gpus}
        onChange={(gpus) => onChange({ gpus })}
        min={0}
        max={64}
        whole
      />
      <NumberField
        label={t`Memory of each GPU, MiB`}
        description={t`The training goes to a worker whose GPUs have at least this.`}
        zero={t`any`}
        value={draft.gpuMemoryMb}
        onChange={(gpuMemoryMb) => onChange({ gpuMemoryMb })}
        min={0}
        whole
      />
      <NumberField
        label={t`Processor cores`}
        description={t`Reserved for this training.`}
        value={draft.cpus}
        onChange={(cpus) => onChange({ cpus })}
        min={0}
      />
      <NumberField
        label={t`Memory, MiB`}
        description={t`Reserved for this training.`}
        zero={t`none reserved`}
        value={draft.memoryMb}
        onChange={(memoryMb) => onChange({ memoryMb })}
        min={0}
        whole
      />
      <NumberField
        label={t`Machines`}
        description={t`Workers that train together. Each reserves the amounts above.`}
        value={draft.nodes}
        onChange={(nodes) => onChange({ nodes })}
        min={1}
        max={64}
        whole
      />
      <NumberField
        label={t`Priority`}
        description={
          facts.maxPriority === null
            ? t`1 to 10; higher starts first.`
            : t`1 to ${facts.maxPriority}; higher starts first.`
        }
        value={draft.priority}
        onChange={(priority) => onChange({ priority })}
        min={1}
        max={10}
        whole
      />
      <NumberField
        label={t`Time limit, minutes`}
        description={t`An attempt that runs longer is stopped and fails.`}
        zero={t`none`}
        value={draft.timeLimitMinutes}
        onChange={(timeLimitMinutes) => onChange({ timeLimitMinutes })}
        min={0}
        whole
      />
      <TextInput
        label={t`Queue`}
        description={t`Which workers may take it.`}
        maw={320}
        value={draft.queue}
        onChange={(event) => onChange({ queue: event.currentTarget.value })}
      />
    </FormSection>
  );
}
