import type { Schema } from "@/api/types";
import { flatten } from "./flatten";

export type Summary = Schema<"SummaryOut">;

/** Return what a training measured in the end, and the summaries of its series, by key. */
export function splitMetrics(metrics: Record<string, unknown>): {
  results: Record<string, unknown>;
  series: Record<string, Summary>;
} {
  const { series, ...results } = metrics;
  const summaries = typeof series === "object" && series !== null ? series : {};
  return { results, series: summaries as Record<string, Summary> };
}

/** Names of results that say how good a model is. */
const QUALITY =
  /loss|perplexity|accuracy|correct|f1|precision|recall|auc|mrr|ndcg|margin|spearman|reward/;

/** Return the numbers that say most about a model, with their names. */
export function mainResults(metrics: Record<string, unknown>, count: number): [string, number][] {
  const numbers = flatten(splitMetrics(metrics).results).flatMap(
    ({ key, value }): [string, number][] =>
      typeof value === "number" ? [[key.replace(/^training\./, ""), value]] : [],
  );
  const important = numbers.filter(([name]) => QUALITY.test(name));
  const others = numbers.filter(([name]) => !QUALITY.test(name));
  return [...important, ...others].slice(0, count);
}
