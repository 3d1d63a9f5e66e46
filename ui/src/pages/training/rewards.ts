/** The rewards in the form of a training, for the method grpo. Pure functions. */
import type { Schema } from "@/api/types";

export type Reward = Schema<"AnyReward">;
export type RewardKind = Reward["kind"];

export const REWARD_KINDS = [
  "exact",
  "contains",
  "numeric",
  "regex",
  "json_schema",
  "length",
  "custom",
] as const satisfies readonly RewardKind[];

/** A line of the form; each kind uses its own fields only. */
export interface RewardDraft {
  kind: RewardKind;
  weight: number;
  ignoreCase: boolean;
  ignoreWhitespace: boolean;
  /** Of the kind contains; empty for the row's reference. */
  text: string;
  tolerance: number;
  pattern: string;
  whole: boolean;
  /** The JSON of the schema. */
  schema: string;
  target: number;
  unit: "tokens" | "characters";
  /** The entry point of a reward from another package, and the JSON of its settings. */
  name: string;
  settings: string;
}

export const NEW_REWARD: RewardDraft = {
  kind: "exact",
  weight: 1,
  ignoreCase: false,
  ignoreWhitespace: true,
  text: "",
  tolerance: 0.000001,
  pattern: "",
  whole: false,
  schema: '{"type": "object"}',
  target: 50,
  unit: "tokens",
  name: "",
  settings: "{}",
};

/** Return the reward that a line means. JSON that can't be read becomes an empty object. */
export function toReward(draft: RewardDraft): Reward {
  const { kind, weight } = draft;
  switch (kind) {
    case "exact":
      return {
        kind,
        weight,
        ignore_whitespace: draft.ignoreWhitespace,
        ignore_case: draft.ignoreCase,
      };
    case "contains":
      return { kind, weight, text: draft.text || null, ignore_case: draft.ignoreCase };
    case "numeric":
      return { kind, weight, tolerance: draft.tolerance };
    case "regex":
      return {
        kind,
        weight,
        pattern: draft.pattern,
        whole: draft.whole,
        ignore_case: draft.ignoreCase,
      };
    case "json_schema":
      return { kind, weight, json_schema: readObject(draft.schema) ?? {} };
    case "length":
      return { kind, weight, target: draft.target, unit: draft.unit };
    case "custom":
      return { kind, weight, name: draft.name, settings: readObject(draft.settings) ?? {} };
  }
}

/** Return the line of the form for a reward of a config, or null if it is none. */
export function fromReward(value: unknown): RewardDraft | null {
  if (typeof value !== "object" || value === null) return null;
  const reward = value as Record<string, unknown>;
  const kind = REWARD_KINDS.find((name) => name === reward.kind);
  if (!kind) return null;
  const pick = <T extends string | number | boolean>(name: string, usual: T): T =>
    typeof reward[name] === typeof usual ? (reward[name] as T) : usual;
  const json = (name: string, usual: string) =>
    typeof reward[name] === "object" ? JSON.stringify(reward[name]) : usual;
  return {
    kind,
    weight: pick("weight", NEW_REWARD.weight),
    ignoreCase: pick("ignore_case", NEW_REWARD.ignoreCase),
    ignoreWhitespace: pick("ignore_whitespace", NEW_REWARD.ignoreWhitespace),
    text: pick("text", NEW_REWARD.text),
    tolerance: pick("tolerance", NEW_REWARD.tolerance),
    pattern: pick("pattern", NEW_REWARD.pattern),
    whole: pick("whole", NEW_REWARD.whole),
    schema: json("json_schema", NEW_REWARD.schema),
    target: pick("target", NEW_REWARD.target),
    unit: pick<string>("unit", "tokens") === "characters" ? "characters" : "tokens",
    name: pick("name", NEW_REWARD.name),
    settings: json("settings", NEW_REWARD.settings),
  };
}

/** Whether everything that the kind requires is filled in and readable. */
export function isComplete(draft: RewardDraft): boolean {
  if (!Number.isFinite(draft.weight)) return false;
  switch (draft.kind) {
    case "numeric":
      return draft.tolerance >= 0;
    case "regex":
      return draft.pattern !== "";
    case "json_schema":
      return readObject(draft.schema) !== null;
    case "length":
      return draft.target >= 1;
    case "custom":
      return draft.name !== "" && readObject(draft.settings) !== null;
    default:
      return true;
  }
}

/** Return the reward without the settings that have their usual values. */
export function shortened(reward: Reward): Record<string, unknown> {
  const usual: Record<string, unknown> = {
    weight: 1,
    ignore_case: false,
    ignore_whitespace: true,
    text: null,
    tolerance: 0.000001,
    whole: false,
    unit: "tokens",
    settings: "{}",
  };
  return Object.fromEntries(
    Object.entries(reward).filter(
      ([name, value]) =>
        (typeof value === "object" && value !== null ? JSON.stringify(value) : value) !==
        usual[name],
    ),
  );
}

/** Return a reward as the option `--reward` reads it, or null if it can't be written like that. */
export function toOption(reward: Record<string, unknown>): string | null {
  const { kind, ...settings } = reward;
  const words = [String(kind)];
  for (const [name, value] of Object.entries(settings)) {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    const quote = /[\s'"]/.test(text) ? ['"', "'"].find((mark) => !text.includes(mark)) : "";
    if (quote === undefined) return null;
    words.push(`${name}=${quote}${text}${quote}`);
  }
  return words.join(" ");
}

function readObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
