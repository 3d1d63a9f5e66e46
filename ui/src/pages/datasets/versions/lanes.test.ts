import { expect, test } from "vitest";
import { laneCount, layOut } from "./lanes";

test("a history without branches is one lane", () => {
  const nodes = layOut([
    { version: "v2", parent: "v1" },
    { version: "v1", parent: null },
  ]);
  expect(nodes.map(({ lane }) => lane)).toEqual([0, 0]);
  expect(nodes[0]).toMatchObject({ hasChild: false, parentLane: 0 });
  expect(nodes[1]).toMatchObject({ hasChild: true, parentLane: null });
});

test("a branch has its own lane until its parent", () => {
  const nodes = layOut([
    { version: "v4", parent: "v1" },
    { version: "v3", parent: "v2" },
    { version: "v2", parent: "v1" },
    { version: "v1", parent: null },
  ]);
  expect(nodes.map(({ lane }) => lane)).toEqual([0, 1, 1, 0]);
  expect(nodes[1]?.passing).toEqual([0]);
  expect(nodes[3]?.joining).toEqual([1]);
  expect(laneCount(nodes)).toBe(2);
});

test("a lane is used again after its end", () => {
  const nodes = layOut([
    { version: "v3", parent: null },
    { version: "v2", parent: null },
    { version: "v1", parent: null },
  ]);
  expect(laneCount(nodes)).toBe(1);
});
