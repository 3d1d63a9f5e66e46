import { describe, expect, it, test } from "vitest";
import {
  type RawPoint,
  readPoints,
  robustRange,
  smooth,
  toCsv,
  valueAt,
  withDetail,
} from "./series";

test("readPoints leaves out what is no number", () => {
  const points = [
    [1, 2, 10],
    [2, "NaN", 11],
    [3, "Infinity", 12],
    [4, 1.5, 13],
  ];
  expect(readPoints(points, (point) => Number(point[0]))).toEqual([
    [1, 2],
    [4, 1.5],
  ]);
});

test("smooth starts at the first value and follows slowly", () => {
  const result = smooth(
    [
      [0, 4],
      [1, 0],
      [2, 0],
    ],
    0.5,
  );
  expect(result[0]).toEqual([0, 4]);
  expect(result[1]?.[1]).toBeCloseTo(4 / 3);
  expect(result[2]?.[1]).toBeLessThan(result[1]?.[1] ?? 0);
});

test("smooth with weight 0 changes nothing", () => {
  expect(smooth([[0, 3]], 0)).toEqual([[0, 3]]);
});

test("robustRange ignores a single outlier", () => {
  const values = [...Array.from({ length: 99 }, (_, index) => index), 1e9];
  expect(robustRange(values, 0.02)).toEqual([2, 97]);
  expect(robustRange([1, 2], 0.02)).toBeNull();
});

test("toCsv joins series by x and defuses formulas", () => {
  const series = [
    { key: "a", label: "=loss", points: [[1, 2]] as const },
    { key: "b", label: 'b "x"', points: [[2, 3]] as const },
  ];
  expect(toCsv("step", series)).toBe('step,\'=loss,"b ""x"""\n1,2,\n2,,3\n');
});

test("valueAt takes the last point before", () => {
  const points = [
    [1, 10],
    [5, 50],
  ] as const;
  expect(valueAt(points, 0)).toBeNull();
  expect(valueAt(points, 4)).toBe(10);
  expect(valueAt(points, 9)).toBe(50);
});

describe("withDetail", () => {
  const whole = [
    [0, 1, 0],
    [100, 2, 0],
    [200, 3, 0],
  ] as const;

  it("replaces the points of the part", () => {
    const detail = [
      [90, 5, 0],
      [100, 6, 0],
      [110, 7, 0],
    ] as const;
    expect(withDetail<RawPoint>(whole, detail).map(([step]) => step)).toEqual([
      0, 90, 100, 110, 200,
    ]);
  });

  it("keeps the points if the part has none", () => {
    expect(withDetail<RawPoint>(whole, undefined)).toEqual(whole);
    expect(withDetail<RawPoint>(whole, [])).toEqual(whole);
  });
});
