/** What an evaluation found, read from its task. Pure functions. */

export interface Side {
  loss: number | null;
  perplexity: number | null;
}

export interface Answer {
  question: string;
  expected: string | null;
  base: string | null;
  model: string | null;
}

export interface Condition {
  metric: "loss" | "perplexity";
  op: string;
  bound: number;
  /** Null while there is no result. */
  met: boolean | null;
}

export interface EvaluationResult {
  model: Side | null;
  base: Side | null;
  rows: number | null;
  tokens: number | null;
  truncated: number | null;
  dropped: number | null;
  answers: Answer[];
}

type Document = Record<string, unknown>;

export function readResult(result: Document | null): EvaluationResult {
  const answers = Array.isArray(result?.answers) ? result.answers : [];
  return {
    model: readSide(result?.model),
    base: readSide(result?.base),
    rows: number(result?.rows),
    tokens: number(result?.tokens),
    truncated: number(result?.rows_truncated),
    dropped: number(result?.rows_dropped),
    answers: answers.filter(isDocument).map((answer) => ({
      question: text(answer.question) ?? "",
      expected: text(answer.expected),
      base: text(answer.base),
      model: text(answer.model),
    })),
  };
}

function readSide(value: unknown): Side | null {
  return isDocument(value)
    ? { loss: number(value.loss), perplexity: number(value.perplexity) }
    : null;
}

/** Return the conditions of an evaluation, and whether its result meets them. */
export function readConditions(config: Document, model: Side | null): Condition[] {
  const conditions = Array.isArray(config.pass_if) ? config.pass_if : [];
  return conditions.filter(isDocument).flatMap((item): Condition[] => {
    const bound = number(item.value);
    const metric = item.metric === "perplexity" ? "perplexity" : "loss";
    const op = text(item.op) ?? "<=";
    if (bound === null) return [];
    const value = model?.[metric] ?? null;
    return [{ metric, op, bound, met: value === null ? null : meets(value, op, bound) }];
  });
}

function meets(value: number, op: string, bound: number): boolean {
  if (op === "<") return value < bound;
  if (op === "<=") return value <= bound;
  return op === ">" ? value > bound : value >= bound;
}

/** Return by how much the tuned model is better: 0.25 means a quarter less; null if unknown. */
export function improvement(base: number | null, model: number | null): number | null {
  if (base === null || model === null || base === 0) return null;
  return (base - model) / base;
}

function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(value: unknown): string | null {
  if (typeof value === "string") return value;
  return value === null || value === undefined ? null : JSON.stringify(value);
}
