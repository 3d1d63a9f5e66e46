/** Reading and writing of a sweep's spec. Pure functions. */
import type { Schema } from "@/api/types";

type Parameters = Schema<"SweepSpec">["parameters"];

export interface SweepFacts {
  parameters: Record<string, { kind: string; log: boolean }>;
  objective: string;
  direction: "minimize" | "maximize";
  method: string;
  maxTrials: number | null;
}

/** Return what the page shows of a sweep's spec. */
export function readSweepSpec(spec: Record<string, unknown>): SweepFacts {
  const parameters = isRecord(spec.parameters) ? spec.parameters : {};
  return {
    parameters: Object.fromEntries(
      Object.entries(parameters).map(([path, range]) => {
        const fields = isRecord(range) ? range : {};
        return [path, { kind: String(fields.kind ?? "choice"), log: fields.log === true }];
      }),
    ),
    objective: typeof spec.objective === "string" ? spec.objective : "eval_loss",
    direction: spec.direction === "maximize" ? "maximize" : "minimize",
    method: typeof spec.method === "string" ? spec.method : "tpe",
    maxTrials: typeof spec.max_trials === "number" ? spec.max_trials : null,
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One parameter as it is written in the form. */
export interface ParameterDraft {
  path: string;
  kind: "choice" | "float" | "int";
  /** Values of a choice, separated by commas. */
  values: string;
  low: string;
  high: string;
  log: boolean;
}

export const SUGGESTED: readonly ParameterDraft[] = [
  { path: "learning_rate", kind: "float", values: "", low: "1e-5", high: "1e-3", log: true },
  { path: "lora.rank", kind: "choice", values: "4, 8, 16", low: "", high: "", log: false },
];

/** Paths that are worth a search. */
export const PATHS = [
  "learning_rate",
  "lora.rank",
  "lora.alpha",
  "lora.dropout",
  "epochs",
  "max_steps",
  "batch_size",
  "gradient_accumulation",
  "warmup_ratio",
  "weight_decay",
  "lr_scheduler",
  "max_length",
  "seed",
];

/** Return the values of a choice; numbers and truth values are read as such. */
export function readValues(text: string): (string | number | boolean)[] {
  return text
    .split(/[,，]/)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part) => {
      if (part === "true" || part === "false") return part === "true";
      const number = Number(part);
      return Number.isFinite(number) ? number : part;
    });
}

/** Return whether a parameter can be searched as it is written. */
export function isComplete(parameter: ParameterDraft): boolean {
  if (!parameter.path.trim()) return false;
  if (parameter.kind === "choice") return readValues(parameter.values).length > 0;
  const low = readNumber(parameter.low);
  const high = readNumber(parameter.high);
  if (low === null || high === null || low >= high) return false;
  if (parameter.kind === "int" && !(Number.isInteger(low) && Number.isInteger(high))) return false;
  return !parameter.log || low > 0;
}

function readNumber(text: string): number | null {
  const number = Number(text.trim());
  return text.trim() !== "" && Number.isFinite(number) ? number : null;
}

export function toParameters(drafts: readonly ParameterDraft[]): Parameters {
  const found: Parameters = {};
  for (const draft of drafts) {
    const low = Number(draft.low);
    const high = Number(draft.high);
    if (draft.kind === "choice")
      found[draft.path.trim()] = { kind: "choice", values: readValues(draft.values) };
    else if (draft.kind === "float")
      found[draft.path.trim()] = { kind: "float", low, high, log: draft.log };
    else found[draft.path.trim()] = { kind: "int", low, high, log: draft.log, step: 1 };
  }
  return found;
}

/** Return how many combinations a grid has, or null if a range makes it endless. */
export function countGrid(drafts: readonly ParameterDraft[]): number | null {
  let count = 1;
  for (const draft of drafts) {
    if (draft.kind === "float") return null;
    count *=
      draft.kind === "choice"
        ? readValues(draft.values).length
        : Number(draft.high) - Number(draft.low) + 1;
  }
  return count;
}
