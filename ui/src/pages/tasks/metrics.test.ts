import { expect, test } from "vitest";
import { addPoint, panels } from "./metrics";

const before = {
  series: {
    loss: [
      [1, 3, 10],
      [2, 2, 20],
    ],
  },
};

test("a new step is appended, a repeated one replaces, an older one is ignored", () => {
  const values = { loss: 1 };
  expect(addPoint(before, { step: 3, values, time: 30 }).series.loss).toHaveLength(3);
  expect(addPoint(before, { step: 2, values, time: 30 }).series.loss?.at(-1)).toEqual([2, 1, 30]);
  expect(addPoint(before, { step: 1, values, time: 30 }).series.loss).toHaveLength(2);
});

test("training and evaluation share a chart, and losses come first", () => {
  const series = { grad_norm: [[1, 1, 1]], eval_loss: [[1, 2, 1]], loss: [[1, 3, 1]] };
  const charts = panels({ series }, "step", 0);
  expect(charts.map(({ title }) => title)).toEqual(["loss", "grad_norm"]);
  expect(charts[0]?.series.map(({ key }) => key)).toEqual(["eval_loss", "loss"]);
});
