import { expect, test } from "vitest";
import { nameOfFile } from "./names";
import { NO_OPTIONS, optionsToSend } from "./options";
import { commandOf, NO_SOURCE, sourceOf } from "./sources";

test("only complete sources are sent", () => {
  expect(sourceOf("url", { ...NO_SOURCE, url: "example.com" })).toBeNull();
  expect(sourceOf("url", { ...NO_SOURCE, url: " https://example.com/a " })).toEqual({
    kind: "url",
    url: "https://example.com/a",
  });
  expect(sourceOf("s3", { ...NO_SOURCE, uri: "s3://bucket" })).toBeNull();
  const pasted = "https://huggingface.co/datasets/someone/faq";
  expect(sourceOf("hub", { ...NO_SOURCE, repository: pasted })).toMatchObject({
    repository: "someone/faq",
  });
});

test("the command quotes what a shell would take apart", () => {
  const source = { kind: "url" as const, url: "https://example.com/a?b=1&c" };
  const draft = { ...NO_OPTIONS, ...NO_SOURCE, map: { "my column": "text" as const } };
  expect(commandOf(source, "it's", draft)).toBe(
    `aiplatform datasets import 'https://example.com/a?b=1&c' --name 'it'\\''s' --map 'my column=text'`,
  );
});

test("defaults are not sent, and columns that are gone neither", () => {
  expect(optionsToSend(NO_OPTIONS, new Set())).toEqual({});
  const options = { ...NO_OPTIONS, map: { a: "text" as const, b: "label" as const } };
  expect(optionsToSend(options, new Set(["a"]))).toEqual({ map: { a: "text" } });
});

test("a file suggests a name without its endings", () => {
  expect(nameOfFile("chats.jsonl.gz")).toBe("chats");
  expect(nameOfFile("a@b.csv")).toBe("a-b");
});
