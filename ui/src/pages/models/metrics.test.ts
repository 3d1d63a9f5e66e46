import { describe, expect, it } from "vitest";
import { mainResults, splitMetrics } from "./metrics";

const LOSS = { points: 2, first: 3, first_step: 1, last: 1, last_step: 2 };
const METRICS = {
  series: { loss: LOSS },
  training: { rows: 40, train_loss_last: 1, device: "cpu" },
  eval_accuracy: 0.5,
};

describe("splitMetrics", () => {
  it("separates the series from the results", () => {
    const { results, series } = splitMetrics(METRICS);
    expect(series).toEqual({ loss: LOSS });
    expect(Object.keys(results)).toEqual(["training", "eval_accuracy"]);
  });

  it("finds no series in a model without any", () => {
    expect(splitMetrics({})).toEqual({ results: {}, series: {} });
  });
});

describe("mainResults", () => {
  it("puts the figures of quality first and leaves out texts", () => {
    expect(mainResults(METRICS, 2)).toEqual([
      ["train_loss_last", 1],
      ["eval_accuracy", 0.5],
    ]);
    expect(mainResults(METRICS, 9).at(-1)).toEqual(["rows", 40]);
  });
});
