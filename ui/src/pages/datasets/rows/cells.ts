/** Values of rows as text, and what rows look like. Pure functions. */
import type { Row } from "@/api/datasets";

export interface Message {
  role: string;
  content: string;
}

const CELL = 200;

/** Return a value as the text of a cell of the grid: one line, and not longer than can be seen. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return oneLine(value);
  const messages = asMessages(value);
  if (messages)
    return oneLine(messages.map(({ role, content }) => `${role}: ${content}`).join(" ⏎ "));
  if (typeof value === "object") return oneLine(JSON.stringify(value));
  return String(value);
}

function oneLine(text: string): string {
  const short = text
    .slice(0, CELL * 2)
    .replace(/\s+/g, " ")
    .trimStart();
  return short.length > CELL || text.length > CELL * 2 ? `${short.slice(0, CELL)}…` : short;
}

/** Return a value as a whole text. */
export function fullText(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

const ROLES: Record<string, string> = { human: "user", gpt: "assistant", bot: "assistant" };

/** Return a value as a conversation if it is one, in either spelling. */
export function asMessages(value: unknown): Message[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const messages: Message[] = [];
  for (const item of value) {
    if (typeof item !== "object" || item === null) return null;
    const part = item as Record<string, unknown>;
    const role = part.role ?? part.from;
    if (typeof role !== "string") return null;
    messages.push({ role: ROLES[role] ?? role, content: fullText(part.content ?? part.value) });
  }
  return messages;
}

export interface Parts {
  /** A conversation that the row consists of. */
  messages: Message[] | null;
  /** Two answers to compare. */
  pair: { chosen: unknown; rejected: unknown } | null;
  /** Whether the answer is labelled good; null if it has no label. */
  good: boolean | null;
  /** All other columns. */
  fields: [string, unknown][];
}

const CONVERSATIONS = ["messages", "conversations"];
/** The shapes whose rows have a question and an answer in columns of their own. */
const ANSWERED = ["prompt_completion", "alpaca", "preference", "unpaired_preference"];
const QUESTION = ["prompt", "instruction", "input"];
const ANSWER = ["completion", "output"];

/** Divide a row into what is read as a conversation, as a pair, and as fields. */
export function partsOf(row: Row, shape: string | null): Parts {
  const used = new Set<string>();
  const messages = conversationOf(row, shape, used);
  let pair: Parts["pair"] = null;
  if (shape === "preference" && "chosen" in row && "rejected" in row) {
    pair = { chosen: row.chosen, rejected: row.rejected };
    used.add("chosen").add("rejected");
  }
  let good: Parts["good"] = null;
  if (shape === "unpaired_preference" && typeof row.label === "boolean") {
    good = row.label;
    used.add("label");
  }
  const fields = Object.entries(row).filter(([name]) => !used.has(name));
  return { messages, pair, good, fields };
}

function conversationOf(row: Row, shape: string | null, used: Set<string>): Message[] | null {
  const system: Message[] =
    typeof row.system === "string" && row.system ? [{ role: "system", content: row.system }] : [];
  const take = (messages: Message[], names: string[]) => {
    for (const name of [...names, ...(system.length > 0 ? ["system"] : [])]) used.add(name);
    return [...system, ...messages];
  };
  const column = CONVERSATIONS.find((name) => asMessages(row[name]));
  if (column) return take(asMessages(row[column]) ?? [], [column]);
  if (!shape || !ANSWERED.includes(shape)) return null;
  const asked = QUESTION.filter((name) => hasContent(row[name]));
  const answered = shape === "preference" ? [] : ANSWER.filter((name) => hasContent(row[name]));
  if (asked.length === 0 && answered.length === 0) return null;
  return take(
    [
      ...asked.flatMap((name) => turns(row[name], "user")),
      ...answered.flatMap((name) => turns(row[name], "assistant")),
    ],
    [...asked, ...answered],
  );
}

function hasContent(value: unknown): boolean {
  return value !== null && value !== undefined && value !== "";
}

/** Return the turns of a value that is a text or a conversation. */
export function turns(value: unknown, role: string): Message[] {
  return asMessages(value) ?? [{ role, content: fullText(value) }];
}
