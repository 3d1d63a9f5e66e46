import type { Schema } from "@/api/types";

type Bound = Schema<"PassCondition">;

const BOUND = /^(loss|perplexity)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i;

/** Return the conditions that a text such as `loss<=2, perplexity<8` means; null if it is wrong. */
export function readBounds(text: string): Bound[] | null {
  const parts = text.split(/[,，]/).map((part) => part.trim());
  const found: Bound[] = [];
  for (const part of parts.filter((item) => item !== "")) {
    const match = BOUND.exec(part);
    if (!match) return null;
    found.push({
      metric: match[1]?.toLowerCase() as Bound["metric"],
      op: match[2] as Bound["op"],
      value: Number(match[3]),
    });
  }
  return found;
}
