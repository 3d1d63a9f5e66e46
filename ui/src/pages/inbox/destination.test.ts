import { expect, test } from "vitest";
import { destination } from "./destination";

const project = "0b0e6c0e-0000-4000-8000-000000000000";

test("a notification leads to the thing that it is about", () => {
  const data = { task: "t-1", model: "m-1" };
  expect(destination({ type: "task:failed", project, data })).toBe(`/p/${project}/tasks/t-1`);
  expect(destination({ type: "model:registered", project, data })).toBe(`/p/${project}/models/m-1`);
});

test("without the thing it leads to the project, and without the project nowhere", () => {
  expect(destination({ type: "task:failed", project, data: {} })).toBe(`/p/${project}`);
  expect(destination({ type: "task:failed", project: null, data: {} })).toBeNull();
  expect(destination({ type: "member:removed", project, data: {} })).toBeNull();
});

test("security leads to the account", () => {
  expect(destination({ type: "security:login", project: null, data: {} })).toBe(
    "/account?tab=security",
  );
});
