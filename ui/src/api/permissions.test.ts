import { expect, test } from "vitest";
import { covers } from "./permissions";

test.each([
  [["*"], "tasks:write", true],
  [["tasks:*"], "tasks:write", true],
  [["tasks:read"], "tasks:write", false],
  [["tasks:read", "tasks:write"], "tasks:write", true],
  [[], "tasks:read", false],
])("%j covers %s: %s", (held, wanted, expected) => {
  expect(covers(held, wanted)).toBe(expected);
});
