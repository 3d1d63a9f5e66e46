/** What rows will be taken for, from the names of their columns. Pure functions. */
import type { ColumnTarget } from "@/api/datasets";

export const TARGETS: readonly ColumnTarget[] = [
  "messages",
  "conversations",
  "system",
  "prompt",
  "completion",
  "chosen",
  "rejected",
  "instruction",
  "input",
  "output",
  "history",
  "text",
  "label",
];

/** The columns that a shape needs; the first whose columns are all there counts. */
const SHAPES: readonly [string, readonly (readonly string[])[]][] = [
  ["preference", [["chosen"], ["rejected"]]],
  ["chat", [["messages", "conversation"]]],
  ["sharegpt", [["conversations"]]],
  ["alpaca", [["instruction"], ["output", "response", "answer"]]],
  [
    "prompt_completion",
    [
      ["prompt", "question", "query", "input"],
      ["completion", "response", "answer", "output"],
    ],
  ],
  [
    "classification",
    [
      ["text", "sentence", "content"],
      ["label", "category", "class", "intent", "sentiment"],
    ],
  ],
  ["text", [["text", "content", "document"]]],
];

/** Return the shape that columns make, with the names that a mapping gives them. */
export function shapeOf(
  columns: readonly string[],
  map: Readonly<Record<string, string>> = {},
): string {
  const names = new Set(columns.map((name) => map[name] ?? name));
  const found = SHAPES.find(([, needed]) =>
    needed.every((spellings) => spellings.some((name) => names.has(name))),
  );
  return found?.[0] ?? "table";
}
