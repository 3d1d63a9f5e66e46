import { expect, test } from "vitest";
import { packages } from "./licences";

test("the packages of the page and what these need are listed with their licences", () => {
  const found = packages(import.meta.dirname);
  const licences = new Map(found.map(({ name, licence }) => [name, licence]));
  expect(licences.get("react")).toBe("MIT");
  expect(licences.get("scheduler")).toBe("MIT");
  expect(licences.has("vite")).toBe(false);
  const unnamed = found.filter(({ licence }) => licence === "unknown").map(({ name }) => name);
  expect(unnamed).toEqual(["combine-errors"]);
});
