import { expect, test } from "vitest";
import { localPath } from "./next";

test.each([
  [undefined, "/"],
  ["/p/demo/tasks?status=failed", "/p/demo/tasks?status=failed"],
  ["//evil.example", "/"],
  ["/\\evil.example", "/"],
  ["https://evil.example", "/"],
  ["javascript:alert(1)", "/"],
])("localPath(%s)", (next, expected) => {
  expect(localPath(next)).toBe(expected);
});
