/** Changes of a row, from what was typed. Pure functions. */
import type { Row } from "@/api/datasets";
import type { Schema } from "@/api/types";
import { fullText } from "./cells";

export type Edited = Schema<"RowChange">["values"];

/** Return the values that were changed, and the columns whose text is not valid. */
export function readEdits(
  row: Row,
  texts: Readonly<Record<string, string>>,
): { values: Record<string, unknown>; faulty: string[] } {
  const values: Record<string, unknown> = {};
  const faulty: string[] = [];
  for (const [name, text] of Object.entries(texts)) {
    const before = row[name];
    if (text === fullText(before)) continue;
    if (typeof before === "string") values[name] = text;
    else if (text.trim() === "") values[name] = null;
    else
      try {
        values[name] = JSON.parse(text);
      } catch {
        // A cell without a value may become a text; a number or a conversation may not.
        if (before === null || before === undefined) values[name] = text;
        else faulty.push(name);
      }
  }
  return { values, faulty };
}
