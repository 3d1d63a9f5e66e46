import { expect, test } from "vitest";
import { type Axis, coordinate, makeAxes } from "./axes";
import { countGrid, isComplete, readSweepSpec, readValues, SUGGESTED, toParameters } from "./spec";

test("values of a choice are read as what they look like", () => {
  expect(readValues("4, 8，cosine, true,")).toEqual([4, 8, "cosine", true]);
});

test("a range needs two bounds in order, above 0 for a logarithm", () => {
  const range = { path: "x", kind: "float" as const, values: "", low: "0", high: "1", log: false };
  expect(isComplete(range)).toBe(true);
  expect(isComplete({ ...range, log: true })).toBe(false);
  expect(isComplete({ ...range, high: "0" })).toBe(false);
  expect(isComplete({ ...range, kind: "int", high: "1.5" })).toBe(false);
});

test("a form becomes the spec that can be read back", () => {
  const spec = { parameters: toParameters(SUGGESTED), objective: "loss", max_trials: 4 };
  expect(readSweepSpec(spec)).toMatchObject({
    parameters: { learning_rate: { kind: "float", log: true }, "lora.rank": { kind: "choice" } },
    objective: "loss",
    direction: "minimize",
    maxTrials: 4,
  });
  expect(countGrid(SUGGESTED)).toBeNull();
  expect(countGrid(SUGGESTED.slice(1))).toBe(3);
});

test("axes place numbers by value or logarithm, and words in order", () => {
  const trials = [
    { params: { lr: 0.001, kind: "a" }, value: 1 },
    { params: { lr: 0.1, kind: "b" }, value: 3 },
  ];
  const axes = makeAxes(trials, { lr: { kind: "float", log: true } }, "loss");
  expect(axes.map(({ name }) => name)).toEqual(["lr", "kind", "loss"]);
  expect(coordinate(axes[0] as Axis, 0.01)).toBeCloseTo(0.5);
  expect(coordinate(axes[1] as Axis, "b")).toBe(1);
  expect(coordinate(axes[2] as Axis, null)).toBeNull();
});
