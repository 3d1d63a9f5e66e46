import { expect, test } from "vitest";
import { gentleFixes, readComparison, readReport } from "./report";
import { readFirstRun } from "./search";

const FINDING = { code: "markup", severity: "warning", count: 1, message: "m", message_zh: "标记" };

test("readReport takes the message in the language of the page", () => {
  const report = { score: 80, rows: 3, findings: [{ ...FINDING, fixes: ["strip", "drop"] }, null] };
  expect(readReport(report, "zh-CN").findings[0]?.message).toBe("标记");
  expect(readReport(report, "en").findings).toHaveLength(1);
  expect(readReport({}, "en")).toEqual({ score: 0, rows: 0, findings: [] });
});

test("gentleFixes takes the first fix of errors and warnings", () => {
  const finding = { code: "markup", severity: "warning", count: 1, message: "", fixes: ["strip"] };
  const others = [
    { ...finding, code: "refusals", severity: "info", fixes: ["drop"] },
    { ...finding, code: "boilerplate", fixes: [] },
  ];
  expect(gentleFixes([finding, ...others])).toEqual({ markup: "strip" });
});

test("readComparison bears a result without a base", () => {
  expect(readComparison({ model: { loss: 1, perplexity: 2 } })).toEqual({
    base: null,
    tuned: { loss: 1, perplexity: 2 },
    answers: [],
  });
});

test("readFirstRun takes only uuids", () => {
  const project = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44";
  expect(readFirstRun({ project, dataset: "<b>", fix: "none" })).toEqual({ project, fix: "none" });
});
