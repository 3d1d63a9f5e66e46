import { useLingui } from "@lingui/react/macro";
import { Button, Collapse, Radio, Select, Stack } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { FormSection } from "@/design/FormSection";
import type { Draft, PresetName } from "./draft";
import { NumberField } from "./NumberField";
import type { StepProps } from "./steps";

export function MethodStep(props: StepProps) {
  const { draft, onChange } = props;
  const { t } = useLingui();
  const [more, { toggle }] = useDisclosure(draft.preset === "own");
  const presets: [PresetName, string, string][] = [
    ["trial", t`Quick trial`, t`20 steps: shows within minutes whether data and settings work.`],
    ["balanced", t`Balanced`, t`Three passes over the data: right for most purposes.`],
    [
      "thorough",
      t`Thorough`,
      t`Five slower passes with a larger adapter: for much or difficult data.`,
    ],
    ["own", t`My own settings`, t`Whatever is filled in below.`],
  ];
  return (
    <FormSection
      title={t`Method and settings`}
      description={t`Supervised fine-tuning: the model learns to give the answers of your data.`}
    >
      <Radio.Group
        label={t`Preset`}
        value={draft.preset}
        onChange={(preset) => onChange({ preset: preset as PresetName })}
      >
        <Stack gap="sm" mt="sm">
          {presets.map(([value, label, description]) => (
            <Radio key={value} value={value} label={label} description={description} />
          ))}
        </Stack>
      </Radio.Group>
      <NumberField
        label={t`Epochs`}
        description={t`Passes over all rows. More learn the data better, too many learn it by heart.`}
        value={draft.epochs}
        onChange={(epochs) => onChange({ epochs })}
        min={0}
      />
      <NumberField
        label={t`Learning rate`}
        description={t`How far each step goes. Lower it if the loss jumps, raise it if nothing changes.`}
        value={draft.learningRate}
        onChange={(learningRate) => onChange({ learningRate })}
        min={0}
        step={0.0001}
      />
      <NumberField
        label={t`Longest row`}
        description={t`In tokens; longer rows are cut. Longer rows take more memory and time.`}
        value={draft.maxLength}
        onChange={(maxLength) => onChange({ maxLength })}
        min={8}
        whole
      />
      <div>
        <Button variant="subtle" onClick={toggle} aria-expanded={more}>
          {more ? t`Fewer settings` : t`More settings`}
        </Button>
      </div>
      <Collapse expanded={more}>
        <MoreSettings {...props} />
      </Collapse>
    </FormSection>
  );
}

function MoreSettings({ draft, onChange }: StepProps) {
  const { t } = useLingui();
  return (
    <Stack gap="sm">
      <NumberField
        label={t`Steps`}
        description={t`Stops after this many steps, whatever the epochs say.`}
        zero={t`by the epochs`}
        value={draft.maxSteps}
        onChange={(maxSteps) => onChange({ maxSteps })}
        min={0}
        whole
      />
      <NumberField
        label={t`Batch size`}
        description={t`Rows per device and step. Lower it if memory runs out.`}
        value={draft.batchSize}
        onChange={(batchSize) => onChange({ batchSize })}
        min={1}
        whole
      />
      <NumberField
        label={t`Accumulated batches`}
        description={t`Batches that make one step: as a larger batch, without its memory.`}
        value={draft.accumulation}
        onChange={(accumulation) => onChange({ accumulation })}
        min={1}
        whole
      />
      <Select
        label={t`What is trained`}
        description={t`All weights take several times the memory, and a learning rate about ten times lower.`}
        maw={320}
        value={draft.tuning}
        onChange={(value) => onChange({ tuning: (value ?? "lora") as Draft["tuning"] })}
        data={[
          { value: "lora", label: t`An adapter` },
          { value: "full", label: t`All weights` },
        ]}
      />
      <Select
        label={t`What is learned`}
        description={t`Which turns of a conversation the model learns to write.`}
        maw={320}
        value={draft.loss}
        onChange={(value) => onChange({ loss: (value ?? "assistant") as Draft["loss"] })}
        data={[
          { value: "assistant", label: t`All answers` },
          { value: "last", label: t`The last answer only` },
          { value: "all", label: t`Everything, questions too` },
        ]}
      />
      <NumberField
        label={t`Noise on embeddings (NEFTune)`}
        description={t`Helps answers to sound less like the data; 5 is usual.`}
        zero={t`none`}
        value={draft.neftuneAlpha}
        onChange={(neftuneAlpha) => onChange({ neftuneAlpha })}
        min={0}
      />
      {draft.tuning === "lora" && <AdapterSettings draft={draft} onChange={onChange} />}
      <Select
        label={t`Learning rate schedule`}
        description={t`How the learning rate changes in the course of the training.`}
        maw={320}
        value={draft.scheduler}
        onChange={(value) => onChange({ scheduler: (value ?? "cosine") as Draft["scheduler"] })}
        data={[
          { value: "cosine", label: t`Falls slowly, then fast (cosine)` },
          { value: "linear", label: t`Falls evenly (linear)` },
          { value: "constant", label: t`Stays (constant)` },
        ]}
      />
      <NumberField
        label={t`Warm-up`}
        description={t`The share of the steps in which the learning rate rises from 0.`}
        value={draft.warmup}
        onChange={(warmup) => onChange({ warmup })}
        min={0}
      />
      <NumberField
        label={t`Weight decay`}
        description={t`Pulls weights towards 0, against learning by heart.`}
        value={draft.weightDecay}
        onChange={(weightDecay) => onChange({ weightDecay })}
        min={0}
      />
      <Select
        label={t`Precision`}
        description={t`The number format of the computation; automatic fits the device.`}
        maw={320}
        value={draft.precision}
        onChange={(value) => onChange({ precision: (value ?? "auto") as Draft["precision"] })}
        data={[
          { value: "auto", label: t`Automatic` },
          { value: "bf16", label: "bf16" },
          { value: "fp32", label: "fp32" },
        ]}
      />
      {draft.evalDataset && (
        <NumberField
          label={t`Steps between held-out losses`}
          description={t`How often the held-out rows are measured while it trains.`}
          zero={t`at the end only`}
          value={draft.evalSteps}
          onChange={(evalSteps) => onChange({ evalSteps })}
          min={0}
          whole
        />
      )}
      <NumberField
        label={t`Steps between checkpoints`}
        description={t`From the last checkpoint it goes on after a pause or the loss of a machine.`}
        value={draft.checkpointSteps}
        onChange={(checkpointSteps) => onChange({ checkpointSteps })}
        min={1}
        whole
      />
      <NumberField
        label={t`Seed`}
        description={t`The same seed, data and machine give the same result.`}
        value={draft.seed}
        onChange={(seed) => onChange({ seed })}
        min={0}
        whole
      />
    </Stack>
  );
}

function AdapterSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
      <Select
        label={t`Kind of adapter`}
        description={t`DoRA often learns more and is slower; rsLoRA suits high ranks.`}
        maw={320}
        value={draft.loraKind}
        onChange={(value) => onChange({ loraKind: (value ?? "lora") as Draft["loraKind"] })}
        data={[
          { value: "lora", label: "LoRA" },
          { value: "dora", label: "DoRA" },
          { value: "rslora", label: "rsLoRA" },
        ]}
      />
      <NumberField
        label={t`LoRA rank`}
        description={t`The size of the adapter. Higher can learn more and takes more memory.`}
        value={draft.loraRank}
        onChange={(loraRank) => onChange({ loraRank })}
        min={1}
        whole
      />
      <NumberField
        label={t`LoRA alpha`}
        description={t`How strongly the adapter counts; usually twice the rank.`}
        value={draft.loraAlpha}
        onChange={(loraAlpha) => onChange({ loraAlpha })}
        min={1}
        whole
      />
      <NumberField
        label={t`LoRA dropout`}
        description={t`The share of the adapter that each step leaves out, against learning by heart.`}
        value={draft.loraDropout}
        onChange={(loraDropout) => onChange({ loraDropout })}
        min={0}
        max={1}
      />
    </>
  );
}
