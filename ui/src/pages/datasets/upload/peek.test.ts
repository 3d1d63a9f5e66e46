import { expect, test } from "vitest";
import { peekText, readCsv } from "./peek";
import { shapeOf } from "./shapes";

test("CSV has quotes, line breaks in cells, and other separators", () => {
  expect(readCsv('a,"b ""c""\nd"\n1,2\n', ",", 9)).toEqual([
    ["a", 'b "c"\nd'],
    ["1", "2"],
  ]);
  expect(peekText("a;b\n1;2\n", "csv", false)?.columns).toEqual(["a", "b"]);
  expect(peekText("a|b\n1|2\n", "csv", false, "|")?.rows).toEqual([{ a: "1", b: "2" }]);
});

test("a torn last line is left out", () => {
  expect(peekText('{"a":1}\n{"a":', "jsonl", true)?.rows).toEqual([{ a: 1 }]);
  expect(peekText('{"a":1}\nno', "jsonl", false)).toBeNull();
});

test("the first objects of an array are read", () => {
  const text = '[{"a":"]}"},{"a":[{"b":1}]},{"a"';
  expect(peekText(text, "json", true)?.rows).toEqual([{ a: "]}" }, { a: [{ b: 1 }] }]);
});

test("plain text has one column", () => {
  expect(peekText("one\n\ntwo\n", "text", false)?.rows).toEqual([{ text: "one" }, { text: "two" }]);
});

test.each([
  [["messages"], {}, "chat"],
  [["prompt", "chosen", "rejected"], {}, "preference"],
  [["question", "answer"], {}, "prompt_completion"],
  [["frage", "antwort"], { frage: "prompt", antwort: "completion" }, "prompt_completion"],
  [["text", "label"], {}, "classification"],
  [["anchor", "positive", "negative"], {}, "embedding_pairs"],
  [["sentence_A", "sentence_B", "score"], {}, "scored_pairs"],
  [["a", "b"], {}, "table"],
])("%j with %j are %s", (columns, map, expected) => {
  expect(shapeOf(columns, map as Record<string, string>)).toBe(expected);
});

test("answers are labelled good or bad if the labels are booleans", () => {
  const columns = ["question", "answer", "kto_tag"];
  const rows = (kto_tag: unknown) => [{ question: "a", answer: "b", kto_tag }];
  expect(shapeOf(columns, {}, rows(false))).toBe("unpaired_preference");
  expect(shapeOf(columns, {}, rows("false"))).toBe("prompt_completion");
  expect(shapeOf(columns, {}, rows("False"), true)).toBe("unpaired_preference");
  expect(shapeOf(columns, {}, rows(""), true)).toBe("prompt_completion");
  expect(shapeOf(["messages", "label"], {}, [{ messages: [], label: true }])).toBe(
    "unpaired_preference",
  );
  expect(shapeOf(["messages", "label"], {}, [{ messages: [], label: 1 }])).toBe("chat");
  const map = { question: "prompt", answer: "completion" };
  expect(shapeOf(columns, map, rows(true))).toBe("prompt_completion");
  expect(shapeOf(columns, { ...map, kto_tag: "label" }, rows(true))).toBe("unpaired_preference");
});
