import { expect, test } from "vitest";
import { visitBefore } from "./lastVisit";

const HOUR = 3_600_000;

test("the first visit has none before it", () => {
  expect(visitBefore(null, null, 5 * HOUR)).toBeNull();
});

test("a visit goes on over a short pause", () => {
  expect(visitBefore(5 * HOUR - 60_000, 2 * HOUR, 5 * HOUR)).toBe(2 * HOUR);
});

test("after a long pause a new visit counts from the end of the one before", () => {
  expect(visitBefore(3 * HOUR, 2 * HOUR, 5 * HOUR)).toBe(3 * HOUR);
});
