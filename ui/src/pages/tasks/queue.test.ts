import { expect, test } from "vitest";
import type { Task } from "@/api/types";
import { lines, moved } from "./queue";

const task = (uuid: string, queue: string, position: number | null) =>
  ({ uuid, queue, position, created_at: `2026-11-28T10:00:0${uuid}Z` }) as Task;

test("each queue has its tasks in the order in which they start", () => {
  const found = lines([
    task("1", "gpu", 2),
    task("2", "default", null),
    task("3", "gpu", 1),
    task("4", "default", 7),
  ]);
  expect(found.map(({ queue, tasks }) => [queue, tasks.map(({ uuid }) => uuid)])).toEqual([
    ["default", ["4", "2"]],
    ["gpu", ["3", "1"]],
  ]);
});

test("a moved element stands at its new place", () => {
  expect(moved(["a", "b", "c"], 0, 2)).toEqual(["b", "c", "a"]);
  expect(moved(["a", "b", "c"], 2, 0)).toEqual(["c", "a", "b"]);
  expect(moved(["a", "b", "c"], 1, 1)).toEqual(["a", "b", "c"]);
});
