import { expect, test } from "vitest";
import { byDay, sinceOf } from "./days";

test("a range begins at a whole minute", () => {
  const now = Date.parse("2026-11-28T12:34:56Z");
  expect(sinceOf("1d", now)).toBe("2026-11-27T12:34:00.000Z");
  expect(sinceOf(undefined, now)).toBeUndefined();
});

test("entries of one day stand together, in their order", () => {
  const at = (created_at: string) => ({ created_at });
  const found = byDay([
    at("2026-11-28T12:00:00"),
    at("2026-11-28T08:00:00"),
    at("2026-11-27T08:00:00"),
  ]);
  expect(found.map(([, entries]) => entries.length)).toEqual([2, 1]);
});
