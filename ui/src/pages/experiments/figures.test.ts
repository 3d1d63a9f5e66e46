import { expect, test } from "vitest";
import { flatten, knownPaths, valueAtPath } from "./figures";
import { readCompare, readList } from "./search";

const row = {
  config: { lora: { rank: 8 }, seed: 1, type: "training", secrets: {} },
  metrics: { "eval.loss": 1.5, loss: 2 },
};

test("leaves are found by their path, also where a name has a dot", () => {
  expect(valueAtPath(row, "config.lora.rank")).toBe(8);
  expect(valueAtPath(row, "metrics.eval.loss")).toBe(1.5);
  expect(valueAtPath(row, "metrics.missing")).toBeUndefined();
  expect([...flatten({ a: {}, b: { c: [1] } }).keys()]).toEqual(["a", "b.c"]);
});

test("knownPaths lists metrics before settings, without what nobody compares", () => {
  expect(knownPaths([row])).toEqual([
    "metrics.eval.loss",
    "metrics.loss",
    "config.lora.rank",
    "config.seed",
  ]);
});

test("an address that is not understood is left out", () => {
  expect(readList({ view: "<b>", sort: "name", filter: 3 })).toEqual({});
  const run = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44";
  expect(readCompare({ run: [run, run, "x"] }).run).toEqual([run]);
});
