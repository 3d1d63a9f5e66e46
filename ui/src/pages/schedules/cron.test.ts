import { expect, test } from "vitest";
import { fromCron, toCron } from "./cron";

test("simple repetitions become expressions and come back", () => {
  for (const cron of ["5 * * * *", "30 2 * * *", "0 9 * * 1-5", "15 18 * * 0"])
    expect(toCron(fromCron(cron))).toBe(cron);
});

test("other expressions stay as they are written", () => {
  expect(fromCron("*/5 * * * *").frequency).toBe("own");
  expect(fromCron("0 0 1 * *").frequency).toBe("own");
  expect(toCron({ frequency: "daily", time: "25:00", weekday: 1 })).toBeNull();
});
