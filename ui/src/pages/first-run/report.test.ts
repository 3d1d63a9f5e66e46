import { expect, test } from "vitest";
import { gentleFixes, readComparison } from "./report";
import { readFirstRun } from "./search";

test("gentleFixes takes the first fix of errors and warnings", () => {
  const findings = [
    { code: "markup", severity: "warning", fixes: ["strip", "drop"] },
    { code: "refusals", severity: "info", fixes: ["drop"] },
    { code: "boilerplate", severity: "error", fixes: [] },
  ] as const;
  expect(gentleFixes(findings.map((one) => ({ ...one, fixes: [...one.fixes] })))).toEqual({
    markup: "strip",
  });
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
