import { expect, test } from "vitest";
import { curvePanels, tokensByStep } from "./curves";

const line = (task: string, points: (number | string)[][]) => ({
  task,
  name: task,
  total: points.length,
  points,
});

const charts = {
  loss: [line("a", [[10, 2, 100]]), line("b", [[10, 3, 500]])],
  tokens_per_second: [
    line("a", [
      [10, 100, 100],
      [20, 200, 200],
    ]),
  ],
  seconds_per_step: [
    line("a", [
      [10, 2, 100],
      [20, 1, 200],
    ]),
  ],
};
const items = [
  { task: "a", label: "first", color: 1 },
  { task: "b", label: "second", color: 2 },
];

test("each run keeps its colour on all charts, and losses come first", () => {
  const panels = curvePanels(charts, ["tokens_per_second", "loss"], items, "step");
  expect(panels.map(({ title }) => title)).toEqual(["loss", "tokens_per_second"]);
  expect(panels[0]?.series.map(({ key, color }) => [key, color])).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
});

test("tokens are the speed times the duration of the steps so far", () => {
  const tokens = tokensByStep(charts, "a");
  expect(tokens?.(5)).toBe(1000);
  expect(tokens?.(20)).toBe(4000);
  expect(tokensByStep(charts, "b")).toBeNull();
});

test("a run without measured speed has no curve over tokens", () => {
  const [panel] = curvePanels(charts, ["loss"], items, "tokens");
  expect(panel?.series.map(({ key }) => key)).toEqual(["a"]);
});

test("a duration begins with the first figure of its run", () => {
  const [panel] = curvePanels(charts, ["loss"], items, "relative");
  expect(panel?.series.map(({ points }) => points[0]?.[0])).toEqual([0, 0]);
});
