/** Which of several values of a metric is the best, where its name tells. Pure functions. */

const LOWER = /loss|error|perplexity|\bwer\b|\bcer\b|mse|mae/i;
const HIGHER = /accuracy|\bf1\b|reward|precision|recall|bleu|rouge|score|exact|tokens_per_second/i;

export function betterIs(name: string): "lower" | "higher" | null {
  if (LOWER.test(name)) return "lower";
  return HIGHER.test(name) ? "higher" : null;
}

/** Return the place of the best value, or null if there is no single one. */
export function bestOf(name: string, values: readonly unknown[]): number | null {
  const better = betterIs(name);
  if (better === null) return null;
  const numbers = values.map((value) => (typeof value === "number" ? value : Number.NaN));
  const finite = numbers.filter((value) => Number.isFinite(value));
  if (finite.length < 2) return null;
  const best = better === "lower" ? Math.min(...finite) : Math.max(...finite);
  return finite.filter((value) => value === best).length === 1 ? numbers.indexOf(best) : null;
}
