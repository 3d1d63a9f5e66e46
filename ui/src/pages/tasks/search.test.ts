import { expect, test } from "vitest";
import { readProgress, runSeconds } from "./progress";
import { readTask, readTaskList } from "./search";

test("filters that are not understood are left out", () => {
  const search = readTaskList({ status: "sleeping", type: "training", columns: ["name", 3] });
  expect(search).toEqual({ type: "training", columns: ["name"] });
  expect(readTask({ tab: "<b>" }).tab).toBeUndefined();
  expect(readTask({ line: "12-0" }).line).toBe("12-0");
  expect(readTask({ line: 12 }).line).toBeUndefined();
});

test("readProgress takes numbers only", () => {
  const detail = { step: 3, total_steps: 9, seconds_left: "soon" };
  expect(readProgress({ progress_detail: detail })).toEqual({
    step: 3,
    steps: 9,
    secondsLeft: null,
    loss: null,
  });
});

test("runSeconds counts until now while a task runs", () => {
  const started_at = "2026-01-31T12:00:00Z";
  const now = Date.parse("2026-01-31T12:00:30Z");
  expect(runSeconds({ started_at, completed_at: null }, now)).toBe(30);
  expect(runSeconds({ started_at, completed_at: "2026-01-31T12:00:10Z" }, now)).toBe(10);
  expect(runSeconds({ started_at: null, completed_at: null }, now)).toBeNull();
});
