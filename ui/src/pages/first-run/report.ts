import type { Fixes } from "@/api/firstRun";
import type { Schema } from "@/api/types";

export type Report = Schema<"QualityReport">;

/** Return the gentlest fix of each error and warning that has one. */
export function gentleFixes(
  findings: readonly Pick<Schema<"ReportFinding">, "code" | "severity" | "fixes">[],
): Fixes {
  const serious = findings.filter(({ severity, fixes }) => severity !== "info" && fixes.length > 0);
  return Object.fromEntries(serious.map(({ code, fixes }) => [code, fixes[0]])) as Fixes;
}

export interface Compared {
  base: { loss: number; perplexity: number } | null;
  tuned: { loss: number; perplexity: number } | null;
  answers: { question: string; expected: string; base: string; tuned: string }[];
}

/** Return what an evaluation found of a tuned model and its base. */
export function readComparison(result: Record<string, unknown>): Compared {
  const answers = Array.isArray(result.answers) ? result.answers : [];
  return {
    base: readLoss(result.base),
    tuned: readLoss(result.model),
    answers: answers.filter(isRecord).map((answer) => ({
      question: String(answer.question ?? ""),
      expected: String(answer.expected ?? ""),
      base: String(answer.base ?? ""),
      tuned: String(answer.model ?? ""),
    })),
  };
}

function readLoss(value: unknown): { loss: number; perplexity: number } | null {
  if (!isRecord(value)) return null;
  return { loss: Number(value.loss), perplexity: Number(value.perplexity) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
