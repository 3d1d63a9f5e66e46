import { expect, test } from "vitest";
import { cleanText, findHits, formatClock, splitChunk, visibleLines } from "./lines";

const chunk = {
  seq: 7,
  attempt: 1,
  stream: "stderr",
  level: "warning",
  text: "first\nsecond <b>\n",
  kept_bytes: 0,
  time: "2026-01-31T12:00:00Z",
} as const;

test("splitChunk names each line by chunk and place", () => {
  const lines = splitChunk(chunk);
  expect(lines.map((line) => [line.id, line.text])).toEqual([
    ["7-0", "first"],
    ["7-1", "second <b>"],
  ]);
});

test("visibleLines keeps the level and more severe ones", () => {
  const lines = splitChunk(chunk);
  expect(visibleLines(lines, "warning")).toHaveLength(2);
  expect(visibleLines(lines, "error")).toHaveLength(0);
});

test("findHits ignores case", () => {
  expect(findHits(splitChunk(chunk), "SECOND")).toEqual([1]);
  expect(findHits(splitChunk(chunk), "")).toEqual([]);
});

test.each([
  [-3, "0:00"],
  [187.9, "3:07"],
  [3765, "1:02:45"],
])("formatClock(%d)", (seconds, expected) => {
  expect(formatClock(seconds)).toBe(expected);
});

test("cleanText keeps what a terminal would show", () => {
  expect(cleanText("10%\r20%\r100%\r")).toBe("100%");
  expect(cleanText("\u001b[31mred\u001b[0m")).toBe("red");
});
