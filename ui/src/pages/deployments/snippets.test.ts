import { expect, test } from "vitest";
import { curlSnippet, openaiSnippet, python, pythonSnippet } from "./snippets";

const call = {
  origin: "http://127.0.0.1:8400",
  project: "demo",
  deployment: "faq",
  messages: [{ role: "user", content: "What's new?" }],
  parameters: { temperature: 0.2, stop: null },
};

test("quotes the body for a shell", () => {
  const snippet = curlSnippet(call);
  expect(snippet).toContain("What'\\''s new?");
  expect(snippet).toContain('"model": "demo/faq"');
});

test("writes the parameters as Python", () => {
  for (const snippet of [pythonSnippet(call), openaiSnippet(call)]) {
    expect(snippet).toContain("temperature=0.2");
    expect(snippet).toContain("stop=None");
    expect(snippet).toContain('{"role": "user", "content": "What\'s new?"}');
  }
});

test("names the base model", () => {
  expect(openaiSnippet({ ...call, base: true })).toContain('model="demo/faq:base"');
  expect(pythonSnippet({ ...call, base: true })).toContain("base=True");
});

test.each([
  [true, "True"],
  ['a "b"\n', '"a \\"b\\"\\n"'],
  [[], "[]"],
  [{ a: [1] }, '{"a": [\n    1,\n]}'],
])("writes %j as Python", (value, text) => {
  expect(python(value)).toBe(text);
});
