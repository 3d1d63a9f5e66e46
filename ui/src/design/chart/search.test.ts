import { describe, expect, it } from "vitest";
import { readChartSearch, searchOf, settingsOf } from "./search";

describe("readChartSearch", () => {
  it("leaves out what it does not understand", () => {
    const read = readChartSearch({ x: "colour", smooth: 7, log: "yes", hidden: [1, "loss"] });
    expect(read).toEqual({ hidden: ["loss"] });
  });

  it("reads what searchOf wrote", () => {
    const settings = { smoothing: 0.6, log: true, clip: false };
    const search = searchOf(settings, "time", new Set(["b", "a"]));
    expect(readChartSearch({ ...search })).toEqual(search);
    expect(settingsOf(search)).toEqual(settings);
  });

  it("writes nothing for the usual settings", () => {
    const search = searchOf(settingsOf({}), "step", new Set());
    expect(Object.values(search).every((value) => value === undefined)).toBe(true);
  });
});
