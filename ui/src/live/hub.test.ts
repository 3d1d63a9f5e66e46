import { expect, test } from "vitest";
import { unionByProject } from "./hub";
import { streamUrl } from "./stream";

test("tabs of one project share one connection", () => {
  const union = unionByProject([
    { topics: new Set(["tasks", "notifications"]), project: "a" },
    { topics: new Set(["task:1", "notifications"]), project: "a" },
    { topics: new Set(["notifications"]), project: null },
    { topics: new Set<string>(), project: "b" },
  ]);
  expect([...union.keys()]).toEqual(["a", ""]);
  expect(union.get("a")?.key).toBe("notifications,task:1,tasks");
});

test("a connection continues the topics whose position is known", () => {
  const url = streamUrl(["logs:1", "tasks"], "a", new Map([["logs:1", "7"]]));
  expect(url).toBe("/api/v1/stream?topics=logs%3A1%2Ctasks&project=a&after=logs%3A1%407");
});
