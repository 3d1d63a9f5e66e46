import { expect, test } from "vitest";
import { readBounds } from "./bounds";

test("conditions are read from a text, and a wrong one is refused", () => {
  expect(readBounds("loss<=2.0, perplexity < 8")).toEqual([
    { metric: "loss", op: "<=", value: 2 },
    { metric: "perplexity", op: "<", value: 8 },
  ]);
  expect(readBounds("")).toEqual([]);
  expect(readBounds("loss=2")).toBeNull();
});
