import { expect, test } from "vitest";
import { bestOf } from "./best";

test("the least loss and the highest accuracy are the best", () => {
  expect(bestOf("eval_loss", [2, 1, null])).toBe(1);
  expect(bestOf("accuracy", [0.5, 0.9])).toBe(1);
});

test("nothing is marked where the name does not tell, or values are equal", () => {
  expect(bestOf("epoch", [1, 2])).toBeNull();
  expect(bestOf("loss", [1, 1])).toBeNull();
  expect(bestOf("loss", [1, null])).toBeNull();
});
