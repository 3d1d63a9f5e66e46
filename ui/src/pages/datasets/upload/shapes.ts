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
  "anchor",
  "positive",
  "negative",
  "sentence1",
  "sentence2",
  "score",
];

/** The shape of answers with a label that is true or false, by which it is told from others. */
const LABELLED = "unpaired_preference";

/** The columns that a shape needs; the first whose columns are all there counts. */
const SHAPES: readonly [string, readonly (readonly string[])[]][] = [
  ["preference", [["chosen"], ["rejected"]]],
  [
    LABELLED,
    [
      ["messages", "conversation", "conversations"],
      ["label", "kto_tag"],
    ],
  ],
  ["chat", [["messages", "conversation"]]],
  ["sharegpt", [["conversations"]]],
  [
    LABELLED,
    [
      ["prompt", "question", "query", "instruction", "input"],
      ["completion", "response", "answer", "output"],
      ["label", "kto_tag"],
    ],
  ],
  ["alpaca", [["instruction"], ["output", "response", "answer"]]],
  [
    "prompt_completion",
    [
      ["prompt", "question", "query", "input"],
      ["completion", "response", "answer", "output"],
    ],
  ],
  ["embedding_pairs", [["anchor"], ["positive"]]],
  [
    "scored_pairs",
    [
      ["sentence1", "sentence_A"],
      ["sentence2", "sentence_B"],
      ["score", "similarity_score"],
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

/**
 * Return the shape that columns make, with the names that a mapping gives them.
 *
 * In CSV, `untyped`, booleans are words.
 */
export function shapeOf(
  columns: readonly string[],
  map: Readonly<Record<string, string>> = {},
  rows: readonly Readonly<Record<string, unknown>>[] = [],
  untyped = false,
): string {
  const names = new Set(columns.map((name) => map[name] ?? name));
  const labelled = hasLabels(columns, map, rows, untyped);
  const found = SHAPES.find(
    ([shape, needed]) =>
      (shape !== LABELLED || labelled) &&
      needed.every((spellings) => spellings.some((name) => names.has(name))),
  );
  return found?.[0] ?? "table";
}

function hasLabels(
  columns: readonly string[],
  map: Readonly<Record<string, string>>,
  rows: readonly Readonly<Record<string, unknown>>[],
  untyped: boolean,
): boolean {
  // A mapping must name the label: otherwise the rows are meant to be read without it.
  const mapped = Object.keys(map).length > 0;
  const column = columns.find((name) =>
    mapped ? map[name] === "label" : name === "label" || name === "kto_tag",
  );
  const values = rows
    .map((row) => (column ? row[column] : null))
    .filter((value) => value !== null && value !== undefined && value !== "");
  const isBoolean = (value: unknown) =>
    untyped ? /^(true|false)$/i.test(String(value).trim()) : typeof value === "boolean";
  return values.length > 0 && values.every(isBoolean);
}
