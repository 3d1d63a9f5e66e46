import { expect, test } from "vitest";
import { complete, quoteField } from "./complete";

const FIELDS = ["score", "label", "User Name"];

test.each([
  ["", "score"],
  ["sc", "score"],
  ["score ", "="],
  ["score >= 0.5 ", "and"],
  ["score >= 0.5 and ", "score"],
  ["not ", "score"],
  ["(la", "label"],
  ['label in ("a", "b") ', "and"],
  ["label present ", "and"],
  ["user", "`User Name`"],
])("after %j comes %j", (text, expected) => {
  expect(complete(text, text.length, FIELDS).options[0]).toBe(expected);
});

test("values are not completed", () => {
  expect(complete("score > ", 8, FIELDS).options).toEqual([]);
  expect(complete('label in ("a", ', 15, FIELDS).options).toEqual([]);
});

test("only the word at the caret is replaced", () => {
  expect(complete("score > 1 and la", 16, FIELDS)).toEqual({ from: 14, options: ["label"] });
});

test("fields with other characters are quoted", () => {
  expect(quoteField("a b")).toBe("`a b`");
  expect(quoteField("config.lora-rank")).toBe("config.lora-rank");
});
