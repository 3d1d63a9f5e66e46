import { expect, test } from "vitest";
import { measured, workerStatus } from "./state";

test("a worker without heartbeats is lost unless it was stopped in order", () => {
  const worker = { alive: true, stopped_at: null, state: "draining" } as const;
  expect(workerStatus(worker)).toBe("draining");
  expect(workerStatus({ ...worker, alive: false })).toBe("lost");
  expect(workerStatus({ ...worker, alive: false, stopped_at: "2026-11-28T10:00:00Z" })).toBe(
    "stopped",
  );
});

test("a load that was not measured is null", () => {
  expect(measured({ load: { cpu_percent: 12.5 } }, "cpu_percent")).toBe(12.5);
  expect(measured({ load: {} }, "cpu_percent")).toBeNull();
});
