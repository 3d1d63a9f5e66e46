import { expect, test } from "vitest";
import { improvement, readConditions, readResult } from "./result";

const result = readResult({
  model: { loss: 1.5, perplexity: 4.5 },
  base: { loss: 2, perplexity: "Infinity" },
  rows: 10,
  answers: [{ question: "Q", expected: "A", model: "M" }, 3],
});

test("both models and their answers are read; what is missing is null", () => {
  expect(result.base).toEqual({ loss: 2, perplexity: null });
  expect(result.answers).toEqual([{ question: "Q", expected: "A", base: null, model: "M" }]);
  expect(readResult(null).model).toBeNull();
});

test("conditions are met or not by the figures of the tuned model", () => {
  const config = {
    pass_if: [
      { metric: "loss", op: "<=", value: 1.5 },
      { metric: "perplexity", op: "<", value: 4 },
    ],
  };
  expect(readConditions(config, result.model).map(({ met }) => met)).toEqual([true, false]);
  expect(readConditions(config, null).map(({ met }) => met)).toEqual([null, null]);
});

test("an improvement is a share of the base model's figure", () => {
  expect(improvement(2, 1.5)).toBe(0.25);
  expect(improvement(null, 1)).toBeNull();
});
