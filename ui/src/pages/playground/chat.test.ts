import { expect, test } from "vitest";
import {
  type Conversation,
  edited,
  messagesFor,
  parseWho,
  settled,
  tokensPerSecond,
  withAnswer,
} from "./chat";
import { DEFAULTS, requestFields } from "./parameters";
import { makeRow } from "./rows";
import { readPlayground } from "./search";

const answer = (text: string) => ({ text, state: "done" as const, pieces: 1 });
const conversation: Conversation = {
  turns: [
    { id: "1", question: "Hello", answers: { a: answer("Hi") } },
    { id: "2", question: "Who?", answers: { a: answer("A"), b: answer("B") } },
    { id: "3", question: "Why?", answers: {} },
  ],
};

test("asks each model with its own answers", () => {
  expect(messagesFor(conversation, "3", "a", "Be brief").map(({ content }) => content)).toEqual([
    "Be brief",
    "Hello",
    "Hi",
    "Who?",
    "A",
    "Why?",
  ]);
});

test("leaves out questions that a model was not asked", () => {
  const messages = messagesFor(conversation, "3", "b", "");
  expect(messages.map(({ content }) => content)).toEqual(["Who?", "B", "Why?"]);
});

test("an edit drops what came after it", () => {
  const after = edited(conversation, "2", "Where?");
  expect(after.turns.map(({ question }) => question)).toEqual(["Hello", "Where?"]);
  expect(after.turns[1]?.answers).toEqual({});
});

test("a reload stops answers that were under way", () => {
  const running = withAnswer(conversation, "3", "a", () => ({
    text: "Beca",
    state: "streaming",
    pieces: 1,
  }));
  expect(settled(running).turns[2]?.answers.a?.state).toBe("stopped");
});

test("measures the speed from the first token on", () => {
  const usage = { completion_tokens: 41 };
  expect(tokensPerSecond({ ...answer("x"), usage, writing: 2000 })).toBe(20);
  expect(tokensPerSecond(answer("x"))).toBeNull();
});

test("sends only what is set", () => {
  expect(requestFields({ ...DEFAULTS, topP: 0.9, stop: "END\n\n" })).toEqual({
    temperature: 0.7,
    top_p: 0.9,
    max_tokens: 512,
    stop: ["END"],
  });
});

test("makes rows of each shape", () => {
  const messages = messagesFor(conversation, "3", "a", "Be brief");
  const chat = makeRow("chat", messages, "Because").messages as object[];
  expect([chat.length, chat.at(-1)]).toEqual([7, { role: "assistant", content: "Because" }]);
  const shared = makeRow("sharegpt", messages, "Because").conversations as object[];
  expect(shared[1]).toEqual({ from: "human", value: "Hello" });
  expect(makeRow("preference", messages, "Because", "No")).toEqual({
    system: "Be brief",
    prompt: "Why?",
    chosen: "Because",
    rejected: "No",
  });
  expect(makeRow("unpaired_preference", messages, "Because", "", false)).toEqual({
    system: "Be brief",
    prompt: "Why?",
    completion: "Because",
    label: false,
  });
});

test("reads who answers from the address", () => {
  expect(readPlayground({ with: ["a", "a", "b", 3, "c", "d"] })).toEqual({ with: ["a", "b", "c"] });
  expect(readPlayground({ with: "a" })).toEqual({ with: ["a"] });
  expect(parseWho("a:base")).toEqual({ deployment: "a", base: true });
});
