import { useLingui } from "@lingui/react/macro";
import { useModelKinds } from "@/design/modelKinds";
import { type Draft, tunes } from "./draft";
import { isComplete } from "./rewards";
import type { TrainingStep } from "./search";
import type { TrainingFacts } from "./useTrainingFacts";

export interface Problem {
  step: TrainingStep;
  /** Whether the training can't be submitted like this. */
  blocks: boolean;
  text: string;
  /** True for what has not been filled in yet: nothing is wrong with it. */
  missing: boolean;
}

const NAME = /^[A-Za-z0-9\u3007\u3400-\u4dbf\u4e00-\u9fff][\w.\u3007\u3400-\u4dbf\u4e00-\u9fff-]*$/;
const WHOLE: readonly (keyof Draft)[] = [
  "batchSize",
  "accumulation",
  "maxLength",
  "loraRank",
  "loraAlpha",
  "checkpointSteps",
  "nodes",
];

/** Return what is wrong with the form, in the order of its steps. */
export function useProblems(draft: Draft, facts: TrainingFacts): Problem[] {
  const { t, i18n } = useLingui();
  const kinds = useModelKinds();
  const chinese = i18n.locale.startsWith("zh");
  const found: Problem[] = [];
  const add = (step: TrainingStep, blocks: boolean, text: string) =>
    found.push({ step, blocks, text, missing: false });
  const ask = (step: TrainingStep, text: string) =>
    found.push({ step, blocks: true, text, missing: true });

  if (!draft.dataset) ask("data", t`Choose the dataset to train on.`);
  if (facts.dataset?.status === "processing" && !draft.version)
    add("data", false, t`The quality report of this dataset is still being made.`);
  if (facts.rows === 0) add("data", true, t`This version has no rows.`);
  for (const failure of facts.gate?.failures ?? [])
    add("data", !draft.gateReason.trim(), chinese ? failure.text_zh : failure.text);
  if (draft.evalDataset && draft.evalDataset === draft.dataset)
    add(
      "data",
      false,
      t`The held-out rows come from the same dataset: the loss on them may look too good.`,
    );

  if (!draft.model) ask("model", t`Choose the base model.`);
  if (facts.model && facts.model.status !== "ready")
    add("model", true, t`This model is not ready yet.`);
  else if (facts.model && !tunes(draft.method, facts.model.kind))
    add(
      "model",
      true,
      t`The method ${draft.method} can't tune this model (${kinds[facts.model.kind]}). Choose another model or another method.`,
    );
  if (!draft.name.trim()) ask("model", t`Give the experiment a name.`);
  if (!NAME.test(draft.outputName))
    add(
      "model",
      true,
      t`The name of the tuned model must begin with a letter or digit, and have no spaces.`,
    );

  const { tokens } = facts;
  if (draft.method !== "grpo" && tokens && tokens.max > draft.maxLength) {
    const longer = tokens.maxLength === draft.maxLength ? tokens.overLength : null;
    add(
      "method",
      false,
      longer
        ? t`${longer} rows are longer than ${draft.maxLength} tokens and will be cut.`
        : t`The longest row has ${tokens.max} tokens; what exceeds ${draft.maxLength} will be cut.`,
    );
  }
  if (draft.method === "cpt" && !(draft.replayShare > 0 && draft.replayShare < 1))
    add("method", true, t`The share of the data to mix in must be between 0 and 1.`);
  if (draft.method === "grpo") {
    const answers = draft.batchSize * draft.accumulation;
    if (!draft.rewards.every(isComplete)) add("method", true, t`Fill in all rewards.`);
    if (!draft.rewards.some((reward) => reward.weight))
      add("method", true, t`Give at least one reward a weight other than 0.`);
    if (!(draft.generations >= 2))
      add("method", true, t`There must be at least 2 answers to each question.`);
    else if (answers % draft.generations)
      add(
        "method",
        true,
        t`The batch has ${answers} answers, which is not a multiple of the ${draft.generations} answers to each question.`,
      );
    if (!(draft.answerTokens >= 1 && draft.answerTokens < draft.maxLength))
      add("method", true, t`The longest answer must be shorter than the longest row.`);
    if (!(draft.temperature > 0 && draft.topP > 0 && draft.topP <= 1 && draft.beta >= 0))
      add(
        "method",
        true,
        t`Temperature and top p must be above 0, top p at most 1, beta at least 0.`,
      );
  }
  if (!(draft.learningRate > 0)) add("method", true, t`The learning rate must be above 0.`);
  if (draft.learningRate > 0.01)
    add("method", false, t`A learning rate above 0.01 usually makes the training diverge.`);
  if (draft.maxSteps === 0 && !(draft.epochs > 0))
    add("method", true, t`Train for more than 0 epochs, or give a number of steps.`);
  if (WHOLE.some((key) => !(Number(draft[key]) >= 1)))
    add(
      "method",
      true,
      t`Batch size, lengths, ranks, checkpoints and machines must be at least 1.`,
    );
  if (draft.method !== "grpo" && facts.rows && facts.rows < draft.batchSize)
    add("method", false, t`The batch is larger than the dataset: each step takes all rows.`);

  if (facts.maxPriority !== null && draft.priority > facts.maxPriority)
    add("resources", true, t`The project allows priorities up to ${facts.maxPriority}.`);
  if (!(draft.cpus >= 0) || !(draft.gpus >= 0))
    add("resources", true, t`Say how many cores and GPUs the training needs.`);
  return found;
}
