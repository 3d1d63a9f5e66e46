import { useLingui } from "@lingui/react/macro";
import {
  ActionIcon,
  Button,
  Checkbox,
  Fieldset,
  Group,
  Select,
  Stack,
  Textarea,
  TextInput,
} from "@mantine/core";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import type { Draft } from "./draft";
import { NumberField } from "./NumberField";
import { isComplete, NEW_REWARD, type RewardDraft, type RewardKind } from "./rewards";
import type { StepProps } from "./steps";

const MOST_REWARDS = 8;

/** The settings of the method grpo: its rewards, and how answers are generated and compared. */
export function RewardSettings({ draft, onChange }: Pick<StepProps, "draft" | "onChange">) {
  const { t } = useLingui();
  return (
    <>
      <RewardRows rewards={draft.rewards} onChange={(rewards) => onChange({ rewards })} />
      <NumberField
        label={t`Answers to each question`}
        description={t`The model learns from the better ones of them. The batch must be a multiple of this.`}
        value={draft.generations}
        onChange={(generations) => onChange({ generations })}
        min={2}
        whole
      />
      <NumberField
        label={t`Longest answer`}
        description={t`In tokens; longer answers are cut off. Longer answers take more time.`}
        value={draft.answerTokens}
        onChange={(answerTokens) => onChange({ answerTokens })}
        min={1}
        whole
      />
      <NumberField
        label={t`Temperature`}
        description={t`How different the answers to a question are; 1 is usual.`}
        value={draft.temperature}
        onChange={(temperature) => onChange({ temperature })}
        min={0}
      />
      <NumberField
        label={t`Share of likely tokens (top p)`}
        description={t`Answers are drawn from the most likely tokens with this share; 1 means all.`}
        value={draft.topP}
        onChange={(topP) => onChange({ topP })}
        min={0}
        max={1}
      />
      <NumberField
        label={t`Beta`}
        description={t`How strongly the model is kept near the base model. 0: not at all, which saves time.`}
        value={draft.beta}
        onChange={(beta) => onChange({ beta })}
        min={0}
      />
      <Select
        label={t`Loss`}
        description={t`How the tokens of an answer count.`}
        maw={420}
        value={draft.grpoLoss}
        onChange={(value) => onChange({ grpoLoss: (value ?? "grpo") as Draft["grpoLoss"] })}
        data={[
          { value: "grpo", label: t`All answers have the same weight (grpo)` },
          { value: "bnpo", label: t`All tokens of a batch have the same weight (bnpo)` },
          { value: "dr_grpo", label: t`Does not favour long wrong answers (dr_grpo)` },
        ]}
      />
      <Select
        label={t`Scale of rewards`}
        description={t`What the difference from the average reward is divided by.`}
        maw={420}
        value={draft.scaleRewards}
        onChange={(value) =>
          onChange({ scaleRewards: (value ?? "group") as Draft["scaleRewards"] })
        }
        data={[
          { value: "group", label: t`The spread among the answers to a question (group)` },
          { value: "batch", label: t`The spread in the batch (batch)` },
          { value: "none", label: t`Nothing (none)` },
        ]}
      />
    </>
  );
}

interface RowsProps {
  rewards: readonly RewardDraft[];
  onChange: (rewards: RewardDraft[]) => void;
}

function RewardRows({ rewards, onChange }: RowsProps) {
  const { t } = useLingui();
  const kinds: Record<RewardKind, string> = {
    exact: t`Is the reference (exact)`,
    contains: t`Contains a text (contains)`,
    numeric: t`Ends with the right number (numeric)`,
    regex: t`Matches a pattern (regex)`,
    json_schema: t`Is JSON of this form (json_schema)`,
    length: t`Has a certain length (length)`,
    custom: t`A reward of your own (custom)`,
  };
  const change = (place: number, part: Partial<RewardDraft>) =>
    onChange(rewards.map((reward, index) => (index === place ? { ...reward, ...part } : reward)));
  return (
    <Fieldset legend={t`Rewards`}>
      <Stack gap="md">
        {rewards.map((reward, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a row has nothing else that stays
          <Group key={place} gap="sm" align="flex-end" wrap="wrap">
            <Select
              w={280}
              label={t`The answer`}
              value={reward.kind}
              onChange={(kind) => change(place, { kind: (kind ?? "exact") as RewardKind })}
              data={Object.entries(kinds).map(([value, label]) => ({ value, label }))}
            />
            <NumberField
              label={t`Weight`}
              description={t`Below 0, a penalty.`}
              value={reward.weight}
              onChange={(weight) => change(place, { weight })}
            />
            <ActionIcon
              size="lg"
              aria-label={t`Remove reward ${place + 1}`}
              disabled={rewards.length === 1}
              onClick={() => onChange(rewards.filter((_item, index) => index !== place))}
            >
              <IconTrash size={16} />
            </ActionIcon>
            <RewardFields reward={reward} onChange={(part) => change(place, part)} />
            {!isComplete(reward) && <span className="secondary">{t`Fill in this reward.`}</span>}
          </Group>
        ))}
        <div>
          <Button
            variant="default"
            leftSection={<IconPlus size={14} />}
            disabled={rewards.length >= MOST_REWARDS}
            onClick={() => onChange([...rewards, NEW_REWARD])}
          >
            {t`Add a reward`}
          </Button>
        </div>
      </Stack>
    </Fieldset>
  );
}

interface FieldsProps {
  reward: RewardDraft;
  onChange: (part: Partial<RewardDraft>) => void;
}

/** The settings of one kind of reward. */
function RewardFields({ reward, onChange }: FieldsProps) {
  const { t } = useLingui();
  const ignoreCase = (
    <Checkbox
      mb={8}
      label={t`Ignore upper and lower case`}
      checked={reward.ignoreCase}
      onChange={(event) => onChange({ ignoreCase: event.currentTarget.checked })}
    />
  );
  switch (reward.kind) {
    case "exact":
      return (
        <>
          <Checkbox
            mb={8}
            label={t`Ignore spaces`}
            checked={reward.ignoreWhitespace}
            onChange={(event) => onChange({ ignoreWhitespace: event.currentTarget.checked })}
          />
          {ignoreCase}
        </>
      );
    case "contains":
      return (
        <>
          <TextInput
            style={{ flex: "1 1 200px" }}
            label={t`Text`}
            placeholder={t`the reference`}
            value={reward.text}
            onChange={(event) => onChange({ text: event.currentTarget.value })}
          />
          {ignoreCase}
        </>
      );
    case "numeric":
      return (
        <NumberField
          label={t`Tolerance`}
          description={t`The largest difference that counts as equal.`}
          value={reward.tolerance}
          onChange={(tolerance) => onChange({ tolerance })}
          min={0}
        />
      );
    case "regex":
      return (
        <>
          <TextInput
            style={{ flex: "1 1 200px" }}
            label={t`Regular expression`}
            placeholder="\d+"
            value={reward.pattern}
            onChange={(event) => onChange({ pattern: event.currentTarget.value })}
          />
          <Checkbox
            mb={8}
            label={t`The whole answer`}
            checked={reward.whole}
            onChange={(event) => onChange({ whole: event.currentTarget.checked })}
          />
          {ignoreCase}
        </>
      );
    case "json_schema":
      return (
        <Textarea
          w="100%"
          autosize
          minRows={2}
          maxRows={10}
          label={t`JSON Schema`}
          value={reward.schema}
          onChange={(event) => onChange({ schema: event.currentTarget.value })}
        />
      );
    case "length":
      return (
        <>
          <NumberField
            label={t`Length`}
            description={t`The further from it, the lower the reward.`}
            value={reward.target}
            onChange={(target) => onChange({ target })}
            min={1}
            whole
          />
          <Select
            w={160}
            label={t`Unit`}
            value={reward.unit}
            onChange={(unit) => onChange({ unit: (unit ?? "tokens") as RewardDraft["unit"] })}
            data={[
              { value: "tokens", label: t`Tokens` },
              { value: "characters", label: t`Characters` },
            ]}
          />
        </>
      );
    case "custom":
      return (
        <>
          <TextInput
            w={200}
            label={t`Entry point`}
            value={reward.name}
            onChange={(event) => onChange({ name: event.currentTarget.value })}
          />
          <TextInput
            style={{ flex: "1 1 200px" }}
            label={t`Settings (JSON)`}
            value={reward.settings}
            onChange={(event) => onChange({ settings: event.currentTarget.value })}
          />
        </>
      );
  }
}
