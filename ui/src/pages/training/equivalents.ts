/** The same training as YAML, Python and command line. Pure functions. */
import { type Draft, type Method, toSpec } from "./draft";
import { shortened, toOption, toReward } from "./rewards";

export interface Names {
  project: string;
  /** As the command line writes them: `name@version`. */
  dataset: string | null;
  evalDataset: string | null;
  replayDataset: string | null;
  model: string | null;
}

type Value = string | number | boolean | null;
type Fields = [path: string, value: Value][];

/** What a training has if nothing is said; see the reference of the command line. */
const API_DEFAULTS: Record<string, Value> = {
  method: "sft",
  replay_share: 0.1,
  label_separator: null,
  class_weights: "none",
  pooling: "mean",
  scale: 20,
  beta: 0.1,
  loss_type: "sigmoid",
  desirable_weight: 1,
  undesirable_weight: 1,
  label_smoothing: 0,
  center_rewards: null,
  output_name: "tuned",
  tuning: "lora",
  loss: "assistant",
  neftune_alpha: null,
  packing: false,
  "lora.kind": "lora",
  "lora.rank": 16,
  "lora.alpha": 32,
  "lora.dropout": 0.05,
  epochs: 1,
  max_steps: null,
  learning_rate: 0.0002,
  lr_scheduler: "cosine",
  warmup_ratio: 0.03,
  weight_decay: 0,
  batch_size: 8,
  gradient_accumulation: 1,
  max_length: 512,
  precision: "auto",
  seed: 42,
  eval_steps: null,
  checkpoint_steps: 20,
  nodes: 1,
  "resources.cpus": 1,
  "resources.memory_mb": 0,
  "resources.gpus": 0,
  "resources.gpu_memory_mb": 0,
  queue: "default",
  time_limit_seconds: null,
};

/** Where a method has other defaults. */
const METHOD_DEFAULTS: Record<Method, Record<string, Value>> = {
  sft: {},
  cpt: {},
  classification: {},
  embedding: { batch_size: 32 },
  dpo: { learning_rate: 5e-5, "lora.dropout": 0 },
  kto: { learning_rate: 5e-5, "lora.dropout": 0, loss_type: "kto" },
  orpo: { learning_rate: 5e-5, "lora.dropout": 0 },
  grpo: {
    learning_rate: 5e-5,
    "lora.dropout": 0,
    num_generations: 8,
    max_answer_tokens: 128,
    temperature: 1,
    top_p: 1,
    beta: 0.04,
    loss_type: "grpo",
    scale_rewards: "group",
  },
  reward: { learning_rate: 1e-4, "lora.dropout": 0 },
};

/** Return the fields that differ from the defaults, by path. */
function chosen(draft: Draft): Fields {
  const spec = toSpec(draft) as unknown as Record<string, unknown>;
  const defaults = { ...API_DEFAULTS, ...METHOD_DEFAULTS[draft.method] };
  return Object.entries(defaults).flatMap(([path, usual]): Fields => {
    const [head = "", inner] = path.split(".");
    const outer = spec[head];
    const value = inner ? (outer as Record<string, Value>)[inner] : (outer as Value);
    return value === undefined || value === usual ? [] : [[path, value]];
  });
}

/** Return the rewards of the method grpo, without what is usual; empty for other methods. */
function rewardsOf(draft: Draft): Record<string, unknown>[] {
  return draft.method === "grpo" ? draft.rewards.map((one) => shortened(toReward(one))) : [];
}

/** Return the fields with those of one part together: `[["lora", [["rank", 8]]]]`. */
function nested(fields: Fields): [string, Value | Fields][] {
  const found = new Map<string, Value | Fields>();
  for (const [path, value] of fields) {
    const [head = "", inner] = path.split(".");
    if (!inner) found.set(head, value);
    else {
      const part = found.get(head);
      found.set(head, [...(Array.isArray(part) ? part : []), [inner, value]]);
    }
  }
  return [...found];
}

const OPEN = "…";

export function toYaml(draft: Draft, names: Names): string {
  const lines = [
    ...(draft.name ? [`name: ${JSON.stringify(draft.name)}`] : []),
    `project: ${JSON.stringify(names.project)}`,
    `base_model: ${JSON.stringify(names.model ?? OPEN)}`,
    `dataset: ${JSON.stringify(names.dataset ?? OPEN)}`,
    ...(names.evalDataset ? [`eval_dataset: ${JSON.stringify(names.evalDataset)}`] : []),
    ...(names.replayDataset ? [`replay_dataset: ${JSON.stringify(names.replayDataset)}`] : []),
  ];
  for (const [key, value] of nested(chosen(draft)))
    if (Array.isArray(value))
      lines.push(`${key}:`, ...value.map(([inner, one]) => `  ${inner}: ${JSON.stringify(one)}`));
    else lines.push(`${key}: ${JSON.stringify(value)}`);
  const rewards = rewardsOf(draft);
  if (rewards.length > 0)
    lines.push("rewards:", ...rewards.map((reward) => `  - ${JSON.stringify(reward)}`));
  return `${lines.join("\n")}\n`;
}

export function toPython(draft: Draft, names: Names): string {
  const fields = nested(chosen(draft)).map(([key, value]) =>
    Array.isArray(value)
      ? `${key}={${value.map(([inner, one]) => `${JSON.stringify(inner)}: ${python(one)}`).join(", ")}}`
      : `${key}=${python(value)}`,
  );
  const rewards = rewardsOf(draft);
  if (rewards.length > 0) fields.push(`rewards=${python(rewards)}`);
  const run = [
    ...(draft.priority === 5 ? [] : [`priority=${draft.priority}`]),
    ...(draft.gateReason ? [`override_gate=${python(draft.gateReason)}`] : []),
  ];
  return `${[
    "from aiplatform import Client",
    "",
    `client = Client(project=${python(names.project)})`,
    "experiment = client.experiments.create(",
    `    ${python(draft.name || OPEN)},`,
    `    base_model=${python(names.model ?? OPEN)},`,
    `    dataset=${python(names.dataset ?? OPEN)},`,
    ...(names.evalDataset ? [`    eval_dataset=${python(names.evalDataset)},`] : []),
    ...(names.replayDataset ? [`    replay_dataset=${python(names.replayDataset)},`] : []),
    ...fields.map((field) => `    ${field},`),
    ")",
    `task = experiment.run(${run.join(", ")}).wait()`,
  ].join("\n")}\n`;
}

function python(value: unknown): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}: ${python(inner)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}

/** Options of the command line; other fields are given with `--set`. */
const OPTIONS: Record<string, string> = {
  method: "--method",
  output_name: "--output",
  epochs: "--epochs",
  max_steps: "--max-steps",
  learning_rate: "--learning-rate",
  batch_size: "--batch-size",
  gradient_accumulation: "--gradient-accumulation",
  max_length: "--max-length",
  "lora.rank": "--lora-rank",
  "lora.alpha": "--lora-alpha",
  precision: "--precision",
  seed: "--seed",
};

export function toCli(draft: Draft, names: Names): string {
  const parts = [
    "aiplatform train",
    `--project ${shell(names.project)}`,
    ...(draft.name ? [`--name ${shell(draft.name)}`] : []),
    `--base-model ${shell(names.model ?? OPEN)}`,
    `--dataset ${shell(names.dataset ?? OPEN)}`,
    ...(names.evalDataset ? [`--eval-dataset ${shell(names.evalDataset)}`] : []),
    ...(names.replayDataset ? [`--set ${shell(`replay_dataset=${names.replayDataset}`)}`] : []),
    ...chosen(draft).map(([path, value]) =>
      OPTIONS[path]
        ? `${OPTIONS[path]} ${shell(String(value))}`
        : `--set ${shell(`${path}=${JSON.stringify(value)}`)}`,
    ),
    ...rewardOptions(draft),
    ...(draft.priority === 5 ? [] : [`--priority ${draft.priority}`]),
    ...(draft.gateReason ? [`--override-gate ${shell(draft.gateReason)}`] : []),
  ];
  return `${parts.join(" \\\n    ")}\n`;
}

/** Return the options for rewards: one each, or the whole list if one has too many quotes. */
function rewardOptions(draft: Draft): string[] {
  const rewards = rewardsOf(draft);
  const options = rewards.map(toOption);
  if (options.some((option) => option === null))
    return [`--set ${shell(`rewards=${JSON.stringify(rewards)}`)}`];
  return options.map((option) => `--reward ${shell(option ?? "")}`);
}

/** Quote a word for the shell, where it needs that. */
function shell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
