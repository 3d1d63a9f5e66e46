import { expect, test } from "vitest";
import { buildGraph, edgePath, type GraphNode, layOut, NODE, type NodeKind } from "./graph";

const node = (kind: NodeKind, key: string): GraphNode => ({ kind, key, label: key, uuid: key });

test("connects neighbouring columns and leaves out what is missing", () => {
  const graph = buildGraph({
    datasets: [node("dataset", "d1"), node("dataset", "d2")],
    base: node("base", "b"),
    experiment: null,
    task: node("task", "t"),
    model: node("model", "m"),
    deployments: [],
  });
  expect(graph.columns.map((column) => column.length)).toEqual([3, 1, 1]);
  expect(graph.edges).toEqual([
    ["d1", "t"],
    ["d2", "t"],
    ["b", "t"],
    ["t", "m"],
  ]);
});

test("centres columns on each other", () => {
  const graph = buildGraph({
    datasets: [node("dataset", "d1"), node("dataset", "d2"), node("dataset", "d3")],
    base: null,
    experiment: null,
    task: null,
    model: node("model", "m"),
    deployments: [],
  });
  const { places, height } = layOut(graph);
  expect(places.get("m")?.y).toBe((height - NODE.height) / 2);
  expect(places.get("d2")?.y).toBe(places.get("m")?.y);
  expect(edgePath({ x: 0, y: 0 }, { x: 300, y: 0 })).toContain("300 30");
});
