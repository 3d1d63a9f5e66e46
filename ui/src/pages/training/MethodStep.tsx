import { useLingui } from "@lingui/react/macro";
import { Button, Checkbox, Collapse, Radio, Select, Stack, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { FormSection } from "@/design/FormSection";
import { DatasetPicker } from "./DatasetPicker";
import { type Draft, type Method, type PresetName, trainsWeights } from "./draft";
import { NumberField } from "./NumberField";
import { RewardSettings } from "./RewardSettings";
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
  const methods: [Method, string, string][] = [
    [
      "sft",
      t`Supervised fine-tuning (SFT)`,
      t`The model learns to give the answers of conversations, or to continue texts.`,
    ],
    [
      "cpt",
      t`Continued pre-training (CPT)`,
      t`The model learns all of your texts, such as the language of a field. For plain text only.`,
    ],
    [
      "classification",
      t`Classification`,
      t`The model learns to give texts their labels. It writes no text itself.`,
    ],
    [
      "embedding",
      t`Embeddings`,
      t`An encoder learns to give texts that belong together similar vectors, for search.`,
    ],
    [
      "dpo",
      t`Preferences (DPO)`,
      t`From pairs of answers, the model learns to prefer the chosen ones, and stays near the base model.`,
    ],
    [
      "kto",
      t`Labelled answers (KTO)`,
      t`From single answers labelled good or bad, the model learns to give good ones. No pairs are needed.`,
    ],
    [
      "orpo",
      t`Answers and preferences (ORPO)`,
      t`From pairs of answers, the model learns to give the chosen ones and to avoid the rejected ones.`,
    ],
    [
      "grpo",
      t`Rewards (GRPO)`,
      t`The model answers questions several times, and learns from how rewards score its answers.`,
    ],
    [
      "reward",
      t`Reward model`,
      t`From pairs of answers, the model learns to score answers. It writes no text itself.`,
    ],
  ];
  return (
    <FormSection
      title={t`Method and settings`}
      description={t`How the model learns. The method must fit the data.`}
    >
      <Radio.Group
        label={t`Method`}
        value={draft.method}
        onChange={(method) => onChange({ method: method as Method })}
      >
        <Stack gap="sm" mt="sm">
          {methods.map(([value, label, description]) => (
            <Radio key={value} value={value} label={label} description={description} />
          ))}
        </Stack>
      </Radio.Group>
      <PreferenceSettings draft={draft} onChange={onChange} />
      {draft.method === "grpo" && <RewardSettings draft={draft} onChange={onChange} />}
      {draft.method === "classification" && <LabelSettings draft={draft} onChange={onChange} />}
      {draft.method === "embedding" && <VectorSettings draft={draft} onChange={onChange} />}
      {draft.method === "cpt" && <ReplaySettings draft={draft} onChange={onChange} />}
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
        description={
          draft.method === "grpo"
            ? t`In tokens; a question and its answer together. Longer rows take more memory and time.`
            : t`In tokens; longer rows are cut. Longer rows take more memory and time.`
        }
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
        description={
          draft.method === "grpo"
            ? t`Answers that are learned at once. Lower it if memory runs out.`
            : t`Rows per device and step. Lower it if memory runs out.`
        }
        value={draft.batchSize}
        onChange={(batchSize) => onChange({ batchSize })}
        min={draft.method === "kto" || draft.method === "embedding" ? 2 : 1}
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
      {trainsWeights(draft.method) && (
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
      )}
      {draft.method === "sft" && <AnswerSettings draft={draft} onChange={onChange} />}
      {(!trainsWeights(draft.method) || draft.tuning === "lora") && (
        <AdapterSettings draft={draft} onChange={onChange} />
      )}
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

function AnswerSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
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
      <Checkbox
        label={t`Several rows in one sequence (packing)`}
        description={t`Faster if most rows are short. They do not see each other. The batch size then counts sequences.`}
        checked={draft.packing}
        onChange={(event) => onChange({ packing: event.currentTarget.checked })}
      />
    </>
  );
}

function LabelSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
      <TextInput
        label={t`Separator of labels`}
        description={t`What stands between the labels of a row that has several, such as a comma. Empty: each row has one label.`}
        maw={320}
        maxLength={10}
        value={draft.labelSeparator}
        onChange={(event) => onChange({ labelSeparator: event.currentTarget.value })}
      />
      {!draft.labelSeparator && (
        <Checkbox
          label={t`All labels count equally`}
          description={t`Also those that have few rows.`}
          checked={draft.balanced}
          onChange={(event) => onChange({ balanced: event.currentTarget.checked })}
        />
      )}
    </>
  );
}

function VectorSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
      <Select
        label={t`Vector of a text`}
        description={t`Leave it as the base model was trained.`}
        maw={420}
        value={draft.pooling}
        onChange={(value) => onChange({ pooling: (value ?? "mean") as Draft["pooling"] })}
        data={[
          { value: "mean", label: t`The mean of its tokens (mean)` },
          { value: "cls", label: t`The first token (cls)` },
        ]}
      />
      <NumberField
        label={t`Factor of similarities`}
        description={t`The higher, the more the most similar wrong texts count; 20 is usual.`}
        value={draft.scale}
        onChange={(scale) => onChange({ scale })}
        min={0}
      />
    </>
  );
}

function ReplaySettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
      <DatasetPicker
        label={t`Data to mix in`}
        description={t`Optional. Texts or conversations that keep the model from forgetting what it could do.`}
        dataset={draft.replayDataset}
        version={draft.replayVersion}
        onChange={(replayDataset, replayVersion) => onChange({ replayDataset, replayVersion })}
      />
      {draft.replayDataset && (
        <NumberField
          label={t`Share of the data to mix in`}
          description={t`0.1 means that a tenth of what the model sees comes from it.`}
          value={draft.replayShare}
          onChange={(replayShare) => onChange({ replayShare })}
          min={0}
          max={1}
        />
      )}
    </>
  );
}

function PreferenceSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  const losses: Record<Draft["dpoLoss"], string> = {
    sigmoid: t`DPO (sigmoid)`,
    hinge: t`Ignores learned pairs (hinge)`,
    ipo: t`Does not push pairs apart without end (ipo)`,
    robust: t`Expects some swapped pairs (robust)`,
    sigmoid_norm: t`Divides by the length (sigmoid_norm)`,
    apo_zero: t`Makes chosen answers likelier in any case (apo_zero)`,
  };
  return (
    <>
      {(draft.method === "dpo" || draft.method === "kto" || draft.method === "orpo") && (
        <NumberField
          label={t`Beta`}
          description={
            draft.method !== "orpo"
              ? t`How strongly the model is kept near the base model.`
              : t`The weight of the preference beside the chosen answers.`
          }
          value={draft.beta}
          onChange={(beta) => onChange({ beta })}
          min={0}
        />
      )}
      {draft.method === "dpo" && (
        <Select
          label={t`Loss`}
          description={t`How a pair counts.`}
          maw={420}
          value={draft.dpoLoss}
          onChange={(value) => onChange({ dpoLoss: (value ?? "sigmoid") as Draft["dpoLoss"] })}
          data={Object.entries(losses).map(([value, label]) => ({ value, label }))}
        />
      )}
      {draft.method === "dpo" && draft.dpoLoss === "robust" && (
        <NumberField
          label={t`Swapped pairs`}
          description={t`The share of pairs whose sides are expected to be swapped, below 0.5.`}
          value={draft.labelSmoothing}
          onChange={(labelSmoothing) => onChange({ labelSmoothing })}
          min={0}
          max={0.49}
        />
      )}
      {draft.method === "kto" && (
        <>
          <Select
            label={t`Loss`}
            description={t`How an answer counts.`}
            maw={420}
            value={draft.ktoLoss}
            onChange={(value) => onChange({ ktoLoss: (value ?? "kto") as Draft["ktoLoss"] })}
            data={[
              { value: "kto", label: t`Compares it with how far the model has moved (kto)` },
              {
                value: "apo_zero_unpaired",
                label: t`Makes good answers likelier in any case (apo_zero_unpaired)`,
              },
            ]}
          />
          <NumberField
            label={t`Weight of good answers`}
            description={t`Raise it if they are much fewer than the bad ones.`}
            value={draft.goodWeight}
            onChange={(goodWeight) => onChange({ goodWeight })}
            min={0}
          />
          <NumberField
            label={t`Weight of bad answers`}
            description={t`Raise it if they are much fewer than the good ones.`}
            value={draft.badWeight}
            onChange={(badWeight) => onChange({ badWeight })}
            min={0}
          />
        </>
      )}
      {draft.method === "reward" && (
        <NumberField
          label={t`Keep scores around 0`}
          description={t`How strongly; 0.01 is usual.`}
          zero={t`not at all`}
          value={draft.centerRewards}
          onChange={(centerRewards) => onChange({ centerRewards })}
          min={0}
        />
      )}
    </>
  );
}
