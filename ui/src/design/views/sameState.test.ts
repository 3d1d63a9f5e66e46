import { expect, test } from "vitest";
import { sameState, savedState } from "./sameState";

test("the order of the parts makes no difference", () => {
  expect(sameState({ status: "failed", q: "a" }, { q: "a", status: "failed" })).toBe(true);
  expect(sameState({ columns: ["a", "b"] }, { columns: ["b", "a"] })).toBe(false);
});

test("what is not set is left out, and so is the open preview", () => {
  expect(savedState({ q: undefined, columns: ["a"], preview: "1" })).toEqual({ columns: ["a"] });
  expect(sameState({}, { q: undefined, preview: "1" })).toBe(true);
});
