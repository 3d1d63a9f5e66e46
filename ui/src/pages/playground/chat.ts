/** The conversation of a playground and its changes. Pure functions. */
import type { ChatUsage } from "@/api/chat";

export type AnswerState = "streaming" | "done" | "stopped" | "failed";

export interface Answer {
  text: string;
  /** What the model thought before; it is not part of the conversation. */
  reasoning?: string;
  state: AnswerState;
  /** Why it failed: the stable code, and the words of the API. */
  error?: { code: string; detail: string };
  /** The reason of its end, such as `length`. */
  finish?: string;
  usage?: ChatUsage;
  /** Pieces that have arrived; about as many as tokens. */
  pieces: number;
  /** Milliseconds until the first piece, and from there to the last one. */
  firstAfter?: number;
  writing?: number;
}

export interface Turn {
  id: string;
  question: string;
  /** Answers by who gave them, see `PlaygroundSearch.with`. */
  answers: Record<string, Answer>;
}

export interface Conversation {
  turns: Turn[];
}

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export const EMPTY: Conversation = { turns: [] };

/** Return the messages that one model is asked with: all before a turn, and its question. */
export function messagesFor(
  { turns }: Conversation,
  turn: string,
  who: string,
  system: string,
): Message[] {
  const messages: Message[] = system.trim() ? [{ role: "system", content: system }] : [];
  for (const { id, question, answers } of turns) {
    messages.push({ role: "user", content: question });
    if (id === turn) break;
    const text = answers[who]?.text;
    if (text) messages.push({ role: "assistant", content: text });
    // A model that was added later has not answered here. Two questions in a row would break the
    // templates of many models, so its conversation begins after them.
    else messages.pop();
  }
  return messages;
}

/** Return the conversation with one answer replaced. */
export function withAnswer(
  conversation: Conversation,
  turn: string,
  who: string,
  change: (before: Answer | undefined) => Answer,
): Conversation {
  return {
    turns: conversation.turns.map((item) =>
      item.id === turn
        ? { ...item, answers: { ...item.answers, [who]: change(item.answers[who]) } }
        : item,
    ),
  };
}

/** Return the conversation up to a turn, with another question, and nothing after it. */
export function edited(conversation: Conversation, turn: string, question: string): Conversation {
  const index = conversation.turns.findIndex(({ id }) => id === turn);
  const kept = conversation.turns[index];
  if (!kept) return conversation;
  return { turns: [...conversation.turns.slice(0, index), { ...kept, question, answers: {} }] };
}

/** Return a conversation that was kept, with answers that a reload cut marked as stopped. */
export function settled({ turns }: Conversation): Conversation {
  return {
    turns: turns.map((turn) => ({
      ...turn,
      answers: Object.fromEntries(
        Object.entries(turn.answers).map(([who, answer]) => [
          who,
          answer.state === "streaming" ? { ...answer, state: "stopped" } : answer,
        ]),
      ),
    })),
  };
}

/** Return the tokens written in each second, or null before there is a measure. */
export function tokensPerSecond({ usage, pieces, writing }: Answer): number | null {
  // The first token came before the measured time began.
  const tokens = (usage?.completion_tokens ?? pieces) - 1;
  if (!writing || writing < 50 || tokens < 1) return null;
  return tokens / (writing / 1000);
}

/** Return the deployment that answers, and whether it is its base model that does. */
export function parseWho(who: string): { deployment: string; base: boolean } {
  const base = who.endsWith(":base");
  return { deployment: base ? who.slice(0, -":base".length) : who, base };
}
