import { expect, test } from "vitest";
import { MOST_PIXELS, revealing, rowsInSight, scaleOf } from "./gridWindow";

test("short grids scroll pixel by pixel", () => {
  expect(scaleOf(1000, 36, 600)).toEqual({ content: 36_000, most: 35_400, ratio: 1 });
});

test("the ends of ten million rows are reached", () => {
  const { content, most, ratio } = scaleOf(10_000_000, 36, 600);
  expect(content).toBe(MOST_PIXELS);
  expect((content - 600) * ratio).toBeCloseTo(most);
  expect(rowsInSight(most, 600, 36, 10_000_000).last).toBe(9_999_999);
});

test("rows in sight stay within the grid", () => {
  expect(rowsInSight(0, 100, 36, 2)).toEqual({ first: 0, last: 1 });
  expect(rowsInSight(0, 100, 36, 0).last).toBe(-1);
});

test("a row comes into sight with the least movement", () => {
  expect(revealing(0, 100, 360, 36)).toBe(0);
  expect(revealing(5, 100, 360, 36)).toBe(100);
  expect(revealing(20, 100, 360, 36)).toBe(396);
});
