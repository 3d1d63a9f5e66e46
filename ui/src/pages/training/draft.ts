/** The form of a training: its defaults, presets, and the spec that it means. Pure functions. */
import type { Schema } from "@/api/types";
import { fromReward, NEW_REWARD, type RewardDraft, toReward } from "./rewards";

export type TrainingSpec = Schema<"AnyTraining">;
type SftSpec = Schema<"SftSpec">;
type DpoSpec = Schema<"DpoSpec">;
type KtoSpec = Schema<"KtoSpec">;
type EmbeddingSpec = Schema<"EmbeddingSpec">;
type GrpoSpec = Schema<"GrpoSpec">;

export const METHODS = [
  "sft",
  "cpt",
  "classification",
  "embedding",
  "dpo",
  "kto",
  "orpo",
  "grpo",
  "reward",
] as const;
export type Method = (typeof METHODS)[number];

export interface Draft {
  name: string;
  dataset: string;
  version: string;
  evalDataset: string;
  evalVersion: string;
  /** Of the method cpt, as the two fields below. */
  replayDataset: string;
  replayVersion: string;
  replayShare: number;
  /** Of the method classification; empty if each row has one label. */
  labelSeparator: string;
  balanced: boolean;
  /** Of the method embedding. */
  pooling: NonNullable<EmbeddingSpec["pooling"]>;
  scale: number;
  model: string;
  outputName: string;
  preset: PresetName;
  epochs: number;
  /** 0 means that the epochs decide. */
  maxSteps: number;
  learningRate: number;
  scheduler: TrainingSpec["lr_scheduler"];
  warmup: number;
  weightDecay: number;
  batchSize: number;
  accumulation: number;
  maxLength: number;
  precision: TrainingSpec["precision"];
  seed: number;
  method: Method;
  /** Of the method grpo, as the fields below. */
  rewards: RewardDraft[];
  generations: number;
  answerTokens: number;
  temperature: number;
  topP: number;
  grpoLoss: NonNullable<GrpoSpec["loss_type"]>;
  scaleRewards: NonNullable<GrpoSpec["scale_rewards"]>;
  /** Of the methods dpo, grpo, kto and orpo. */
  beta: number;
  dpoLoss: NonNullable<DpoSpec["loss_type"]>;
  /** The share of swapped pairs, for the loss "robust" of dpo. */
  labelSmoothing: number;
  ktoLoss: NonNullable<KtoSpec["loss_type"]>;
  /** The weights of good and bad answers, for the method kto. */
  goodWeight: number;
  badWeight: number;
  /** Of the method reward; 0 does not keep scores around 0. */
  centerRewards: number;
  tuning: NonNullable<SftSpec["tuning"]>;
  loss: NonNullable<SftSpec["loss"]>;
  /** 0 means no noise. */
  neftuneAlpha: number;
  packing: boolean;
  loraKind: Schema<"LoraSpec">["kind"];
  loraRank: number;
  loraAlpha: number;
  loraDropout: number;
  /** 0 means that the held-out loss is measured at the end only. */
  evalSteps: number;
  checkpointSteps: number;
  cpus: number;
  memoryMb: number;
  gpus: number;
  gpuMemoryMb: number;
  nodes: number;
  queue: string;
  priority: number;
  timeLimitMinutes: number;
  gateReason: string;
}

export const DEFAULTS: Draft = {
  name: "",
  dataset: "",
  version: "",
  evalDataset: "",
  evalVersion: "",
  replayDataset: "",
  replayVersion: "",
  replayShare: 0.1,
  labelSeparator: "",
  balanced: false,
  pooling: "mean",
  scale: 20,
  model: "",
  outputName: "tuned",
  preset: "balanced",
  epochs: 3,
  maxSteps: 0,
  learningRate: 0.0002,
  scheduler: "cosine",
  warmup: 0.03,
  weightDecay: 0,
  batchSize: 8,
  accumulation: 1,
  maxLength: 512,
  precision: "auto",
  seed: 42,
  method: "sft",
  rewards: [NEW_REWARD],
  generations: 8,
  answerTokens: 128,
  temperature: 1,
  topP: 1,
  grpoLoss: "grpo",
  scaleRewards: "group",
  beta: 0.1,
  dpoLoss: "sigmoid",
  labelSmoothing: 0.1,
  ktoLoss: "kto",
  goodWeight: 1,
  badWeight: 1,
  centerRewards: 0,
  tuning: "lora",
  loss: "assistant",
  neftuneAlpha: 0,
  packing: false,
  loraKind: "lora",
  loraRank: 16,
  loraAlpha: 32,
  loraDropout: 0.05,
  evalSteps: 0,
  checkpointSteps: 20,
  cpus: 1,
  memoryMb: 0,
  gpus: 0,
  gpuMemoryMb: 0,
  nodes: 1,
  queue: "default",
  priority: 5,
  timeLimitMinutes: 0,
  gateReason: "",
};

export const DPO_LOSSES = [
  "sigmoid",
  "hinge",
  "ipo",
  "robust",
  "sigmoid_norm",
  "apo_zero",
] as const;

export const GRPO_LOSSES = ["grpo", "dr_grpo", "bnpo"] as const;

export const REWARD_SCALES = ["group", "batch", "none"] as const;

/** The usual strength with which the method grpo keeps the model near the base model. */
const GRPO_BETA = 0.04;

export const KTO_LOSSES = ["kto", "apo_zero_unpaired"] as const;

export type PresetName = "trial" | "balanced" | "thorough" | "own";

/** What each preset sets; "own" leaves everything as it is. */
export const PRESETS: Record<Exclude<PresetName, "own">, Partial<Draft>> = {
  trial: { epochs: 1, maxSteps: 20, learningRate: 0.0002, loraRank: 8, loraAlpha: 16 },
  balanced: { epochs: 3, maxSteps: 0, learningRate: 0.0002, loraRank: 16, loraAlpha: 32 },
  thorough: { epochs: 5, maxSteps: 0, learningRate: 0.0001, loraRank: 64, loraAlpha: 128 },
};

/** The usual learning rate of each method, compared with that of supervised fine-tuning. */
const RATES: Record<Method, number> = {
  sft: 1,
  cpt: 1,
  classification: 1,
  embedding: 1,
  dpo: 0.25,
  kto: 0.25,
  orpo: 0.25,
  grpo: 0.25,
  reward: 0.5,
};

/** Whether a method can train all weights, too, instead of an adapter. */
export function trainsWeights(method: Method): boolean {
  return ["sft", "cpt", "classification", "embedding"].includes(method);
}

/** Whether a method can tune a model of this kind. */
export function tunes(method: Method, kind: Schema<"ModelKind">): boolean {
  if (method === "embedding") return kind === "encoder";
  if (method === "classification" && kind === "encoder") return true;
  return kind === "language_model";
}

function presetOf(preset: Exclude<PresetName, "own">, method: Method): Partial<Draft> {
  const values = PRESETS[preset];
  return { ...values, learningRate: (values.learningRate ?? 0) * RATES[method] };
}

/** Return the draft with a change. A change of a preset's setting ends the preset. */
export function withChange(draft: Draft, change: Partial<Draft>): Draft {
  if (change.method && change.method !== draft.method)
    return {
      ...draft,
      method: change.method,
      // The texts of a batch are what each text is told from, so there must be more of them.
      batchSize: change.method === "embedding" ? Math.max(draft.batchSize, 32) : draft.batchSize,
      learningRate: (draft.learningRate * RATES[change.method]) / RATES[draft.method],
      beta:
        change.method === "grpo" ? GRPO_BETA : draft.method === "grpo" ? DEFAULTS.beta : draft.beta,
      // The noise of dropout hides the small differences between the answers of a pair.
      loraDropout: trainsWeights(change.method) ? DEFAULTS.loraDropout : 0,
    };
  if (change.preset && change.preset !== "own")
    return { ...draft, ...presetOf(change.preset, draft.method), preset: change.preset };
  const next = { ...draft, ...change };
  if (next.preset === "own") return next;
  const preset = presetOf(next.preset, next.method);
  const kept = (Object.keys(preset) as (keyof Draft)[]).every((key) => next[key] === preset[key]);
  return kept ? next : { ...next, preset: "own" };
}

/** Return the spec that the form means. */
export function toSpec(draft: Draft): TrainingSpec {
  const shared = {
    type: "training" as const,
    base_model: draft.model,
    dataset: { dataset: draft.dataset, version: draft.version || null },
    eval_dataset: draft.evalDataset
      ? { dataset: draft.evalDataset, version: draft.evalVersion || null }
      : null,
    output_name: draft.outputName,
    lora: {
      kind: draft.loraKind,
      rank: draft.loraRank,
      alpha: draft.loraAlpha,
      dropout: draft.loraDropout,
      target_modules: "all-linear",
    },
    epochs: draft.epochs,
    max_steps: draft.maxSteps || null,
    learning_rate: draft.learningRate,
    lr_scheduler: draft.scheduler,
    warmup_ratio: draft.warmup,
    weight_decay: draft.weightDecay,
    batch_size: draft.batchSize,
    gradient_accumulation: draft.accumulation,
    max_length: draft.maxLength,
    precision: draft.precision,
    seed: draft.seed,
    logging_steps: 1,
    eval_steps: draft.evalDataset && draft.evalSteps ? draft.evalSteps : null,
    checkpoint_steps: draft.checkpointSteps,
    nodes: draft.nodes,
    resources: {
      cpus: draft.cpus,
      memory_mb: draft.memoryMb,
      gpus: draft.gpus,
      gpu_memory_mb: draft.gpuMemoryMb,
    },
    queue: draft.queue,
    max_attempts: 3,
    retry_seconds: 10,
    time_limit_seconds: draft.timeLimitMinutes ? draft.timeLimitMinutes * 60 : null,
  };
  switch (draft.method) {
    case "sft":
      return {
        ...shared,
        method: "sft",
        tuning: draft.tuning,
        loss: draft.loss,
        neftune_alpha: draft.neftuneAlpha || null,
        packing: draft.packing,
      };
    case "cpt":
      return {
        ...shared,
        method: "cpt",
        tuning: draft.tuning,
        replay_dataset: draft.replayDataset
          ? { dataset: draft.replayDataset, version: draft.replayVersion || null }
          : null,
        replay_share: draft.replayShare,
      };
    case "classification":
      return {
        ...shared,
        method: "classification",
        tuning: draft.tuning,
        label_separator: draft.labelSeparator || null,
        class_weights: draft.balanced && !draft.labelSeparator ? "balanced" : "none",
      };
    case "embedding":
      return {
        ...shared,
        method: "embedding",
        tuning: draft.tuning,
        pooling: draft.pooling,
        scale: draft.scale,
      };
    case "dpo":
      return {
        ...shared,
        method: "dpo",
        beta: draft.beta,
        loss_type: draft.dpoLoss,
        label_smoothing: draft.dpoLoss === "robust" ? draft.labelSmoothing : 0,
      };
    case "kto":
      return {
        ...shared,
        method: "kto",
        beta: draft.beta,
        loss_type: draft.ktoLoss,
        desirable_weight: draft.goodWeight,
        undesirable_weight: draft.badWeight,
      };
    case "grpo":
      return {
        ...shared,
        method: "grpo",
        rewards: draft.rewards.map(toReward),
        num_generations: draft.generations,
        max_answer_tokens: draft.answerTokens,
        temperature: draft.temperature,
        top_p: draft.topP,
        beta: draft.beta,
        loss_type: draft.grpoLoss,
        scale_rewards: draft.scaleRewards,
      };
    case "orpo":
      return { ...shared, method: "orpo", beta: draft.beta };
    case "reward":
      return { ...shared, method: "reward", center_rewards: draft.centerRewards || null };
  }
}

/** Return the form for the config of an experiment; what it does not know stays at the default. */
export function fromConfig(config: Record<string, unknown>): Partial<Draft> {
  const dataset = record(config.dataset);
  const held = record(config.eval_dataset);
  const replay = record(config.replay_dataset);
  const lora = record(config.lora);
  const resources = record(config.resources);
  const found: Partial<Draft> = {
    dataset: text(dataset.dataset),
    version: text(dataset.version),
    evalDataset: text(held.dataset),
    evalVersion: text(held.version),
    replayDataset: text(replay.dataset),
    replayVersion: text(replay.version),
    replayShare: number(config.replay_share),
    labelSeparator: text(config.label_separator),
    balanced: config.class_weights === undefined ? undefined : config.class_weights === "balanced",
    pooling: (["mean", "cls"] as const).find((name) => name === config.pooling),
    scale: number(config.scale),
    model: text(config.base_model),
    outputName: text(config.output_name),
    preset: "own",
    epochs: number(config.epochs),
    maxSteps: number(config.max_steps),
    learningRate: number(config.learning_rate),
    scheduler: (["linear", "cosine", "constant"] as const).find(
      (name) => name === config.lr_scheduler,
    ),
    warmup: number(config.warmup_ratio),
    weightDecay: number(config.weight_decay),
    batchSize: number(config.batch_size),
    accumulation: number(config.gradient_accumulation),
    maxLength: number(config.max_length),
    precision: (["auto", "fp32", "bf16"] as const).find((name) => name === config.precision),
    seed: number(config.seed),
    method: METHODS.find((name) => name === config.method),
    rewards: Array.isArray(config.rewards)
      ? config.rewards.map(fromReward).filter((reward) => reward !== null)
      : undefined,
    generations: number(config.num_generations),
    answerTokens: number(config.max_answer_tokens),
    temperature: number(config.temperature),
    topP: number(config.top_p),
    grpoLoss: GRPO_LOSSES.find((name) => name === config.loss_type),
    scaleRewards: REWARD_SCALES.find((name) => name === config.scale_rewards),
    beta: number(config.beta),
    dpoLoss: DPO_LOSSES.find((name) => name === config.loss_type),
    labelSmoothing: number(config.label_smoothing),
    ktoLoss: KTO_LOSSES.find((name) => name === config.loss_type),
    goodWeight: number(config.desirable_weight),
    badWeight: number(config.undesirable_weight),
    centerRewards: number(config.center_rewards),
    tuning: (["lora", "full"] as const).find((name) => name === config.tuning),
    loss: (["assistant", "all", "last"] as const).find((name) => name === config.loss),
    neftuneAlpha: number(config.neftune_alpha),
    packing: typeof config.packing === "boolean" ? config.packing : undefined,
    loraKind: (["lora", "dora", "rslora"] as const).find((name) => name === lora.kind),
    loraRank: number(lora.rank),
    loraAlpha: number(lora.alpha),
    loraDropout: number(lora.dropout),
    evalSteps: number(config.eval_steps),
    checkpointSteps: number(config.checkpoint_steps),
    cpus: number(resources.cpus),
    memoryMb: number(resources.memory_mb),
    gpus: number(resources.gpus),
    gpuMemoryMb: number(resources.gpu_memory_mb),
    nodes: number(config.nodes),
    queue: text(config.queue),
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/**
 * Return the number of steps, or null if the rows are not known.
 *
 * A step takes `batchSize` rows on each device and `accumulation` such batches. Rows that the
 * training leaves out, because they have nothing to learn from, make it fewer. The method grpo takes
 * fewer rows, each with several answers, and leaves out those that do not fill a step.
 */
export function countSteps(draft: Draft, rows: number | null): number | null {
  if (draft.maxSteps > 0) return draft.maxSteps;
  if (rows === null || rows === 0) return null;
  if (draft.method === "grpo") {
    const answers = draft.batchSize * draft.accumulation;
    return Math.ceil(draft.epochs * Math.floor(rows / Math.ceil(answers / draft.generations)));
  }
  const devices = Math.max(1, draft.gpus) * draft.nodes;
  const batches = Math.ceil(rows / (draft.batchSize * devices));
  return Math.ceil(draft.epochs * Math.max(1, Math.ceil(batches / draft.accumulation)));
}

export interface TokenFigures {
  total: number;
  p95: number;
  max: number;
  overLength: number;
  maxLength: number;
}

/** Return what the quality report of a version says about tokens, or null. */
export function readTokens(
  report: Record<string, unknown> | null | undefined,
): TokenFigures | null {
  const tokens = record(report?.tokens);
  const total = number(tokens.total);
  const max = number(tokens.max);
  if (total === undefined || max === undefined) return null;
  return {
    total,
    max,
    p95: number(tokens.p95) ?? max,
    overLength: number(tokens.over_length) ?? 0,
    maxLength: number(tokens.max_length) ?? 0,
  };
}
