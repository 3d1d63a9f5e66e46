import { expect, test } from "vitest";
import type { Report } from "@/api/reports";
import { asMessages, cellText, partsOf } from "./cells";
import { findingMarks, literal, markText } from "./marks";
import { wordDiff } from "./wordDiff";

test("both spellings of conversations are read", () => {
  expect(asMessages([{ role: "user", content: "hi" }])).toEqual([{ role: "user", content: "hi" }]);
  expect(asMessages([{ from: "gpt", value: "hi" }])).toEqual([
    { role: "assistant", content: "hi" },
  ]);
  expect(asMessages(["hi"])).toBeNull();
  expect(asMessages([])).toBeNull();
});

test("a cell has one line", () => {
  expect(cellText("a\n  b")).toBe("a b");
  expect(cellText(null)).toBe("");
  expect(cellText("x".repeat(500)).length).toBe(201);
  expect(cellText([{ role: "user", content: "hi" }])).toBe("user: hi");
});

test("a row is divided by its shape", () => {
  const pair = partsOf({ prompt: "p", chosen: "a", rejected: "b", id: 1 }, "preference");
  expect(pair.messages).toEqual([{ role: "user", content: "p" }]);
  expect(pair.pair).toEqual({ chosen: "a", rejected: "b" });
  expect(pair.fields).toEqual([["id", 1]]);
  const chat = partsOf({ system: "s", messages: [{ role: "user", content: "hi" }] }, "chat");
  expect(chat.messages?.map(({ role }) => role)).toEqual(["system", "user"]);
  const labelled = partsOf({ prompt: "p", completion: "c", label: false }, "unpaired_preference");
  expect(labelled.messages?.map(({ content }) => content)).toEqual(["p", "c"]);
  expect([labelled.good, labelled.fields]).toEqual([false, []]);
  expect(partsOf({ a: 1 }, "table").fields).toEqual([["a", 1]]);
});

test("differences are found word by word", () => {
  const { before, after } = wordDiff("the red house", "the blue house");
  expect(before).toEqual([
    { text: "the ", own: false },
    { text: "red", own: true },
    { text: " house", own: false },
  ]);
  expect(after.map(({ text }) => text).join("")).toBe("the blue house");
  expect(wordDiff("", "new").after).toEqual([{ text: "new", own: true }]);
  expect(wordDiff("红色的房子", "蓝色的房子").before[0]).toEqual({ text: "红", own: true });
});

test("marks don't overlap, and nothing of the text is lost", () => {
  const marks = [
    { pattern: /ab+/g, title: "x" },
    { pattern: literal("BC") as RegExp, title: "y" },
  ];
  const pieces = markText("zabbcbc", marks);
  expect(pieces.map(({ text }) => text).join("")).toBe("zabbcbc");
  expect(pieces.filter(({ title }) => title).map(({ text }) => text)).toEqual(["abb", "bc"]);
  expect(markText("", [])).toEqual([{ text: "", title: null }]);
});

test("examples of the report are marked in their row", () => {
  const finding = { code: "refusals", examples: [{ row: 4, text: "I cannot" }] };
  const report = { findings: [finding] } as unknown as Report;
  expect(findingMarks(report, undefined, 4, (code) => code)).toHaveLength(1);
  expect(findingMarks(report, undefined, 5, (code) => code)).toHaveLength(0);
});
