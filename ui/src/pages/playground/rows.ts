/** Rows of datasets made of a conversation. Pure functions. */
import type { Row } from "@/api/chat";
import type { Message } from "./chat";

/** The shapes of datasets that a chat can become a row of. */
export const SHAPES = [
  "chat",
  "sharegpt",
  "prompt_completion",
  "alpaca",
  "preference",
  "unpaired_preference",
] as const;
export type RowShape = (typeof SHAPES)[number];

const SPEAKERS = { system: "system", user: "human", assistant: "gpt" } as const;

function lastQuestion(messages: readonly Message[]): string {
  return messages.findLast(({ role }) => role === "user")?.content ?? "";
}

/**
 * Return a row of a shape: the messages, and the answer to the last of them.
 *
 * Shapes with one question keep the last one, and the system prompt. `rejected` is the answer that
 * was not chosen, for preference pairs. `good` is the label, for answers labelled good or bad.
 */
export function makeRow(
  shape: RowShape,
  messages: readonly Message[],
  answer: string,
  rejected = "",
  good = true,
): Row {
  const system = messages.find(({ role }) => role === "system")?.content;
  const whole: Message[] = [...messages, { role: "assistant", content: answer }];
  const given = system ? { system } : {};
  switch (shape) {
    case "chat":
      return { messages: whole.map(({ role, content }) => ({ role, content })) };
    case "sharegpt":
      return {
        conversations: whole.map(({ role, content }) => ({ from: SPEAKERS[role], value: content })),
      };
    case "prompt_completion":
      return { ...given, prompt: lastQuestion(messages), completion: answer };
    case "alpaca":
      return { ...given, instruction: lastQuestion(messages), output: answer };
    case "preference":
      return { ...given, prompt: lastQuestion(messages), chosen: answer, rejected };
    case "unpaired_preference":
      return { ...given, prompt: lastQuestion(messages), completion: answer, label: good };
  }
}

/** Return true if a chat can become a row of a dataset with this shape. */
export function isRowShape(shape: string | null): shape is RowShape {
  return SHAPES.some((known) => known === shape);
}
