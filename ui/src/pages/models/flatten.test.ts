import { expect, test } from "vitest";
import { compare, flatten, show } from "./flatten";
import { groupVersions } from "./versions";

test("flattens nested figures", () => {
  expect(flatten({ eval: { loss: 1.5, tags: ["a", "b"] }, steps: 3 })).toEqual([
    { key: "eval.loss", value: 1.5 },
    { key: "eval.tags", value: "a, b" },
    { key: "steps", value: 3 },
  ]);
});

test("puts differences first", () => {
  const rows = compare(flatten({ same: 1, loss: 2 }), flatten({ same: 1, loss: 3, more: 4 }));
  expect(rows.map(({ key, differs }) => [key, differs])).toEqual([
    ["loss", true],
    ["more", true],
    ["same", false],
  ]);
});

test("shows missing values as a dash", () => {
  expect([show(null), show(0), show({ a: 1 })]).toEqual(["–", "0", '{"a":1}']);
});

test("groups versions by project and name", () => {
  const model = (name: string, version: string, project: string | null) =>
    ({ name, version, project }) as Parameters<typeof groupVersions>[0][number];
  const rows = groupVersions([
    model("faq", "2", "p"),
    model("base", "1", null),
    model("faq", "1", "p"),
    model("faq", "1", null),
  ]);
  expect(rows.map(({ model: { name }, older }) => [name, older.length])).toEqual([
    ["faq", 1],
    ["base", 0],
    ["faq", 0],
  ]);
});
