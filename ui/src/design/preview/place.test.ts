import { expect, test } from "vitest";
import { placeCard } from "./place";

const SCREEN = { width: 1000, height: 800 };

test("a card stands below its reference", () => {
  expect(placeCard({ left: 40, top: 100, bottom: 120 }, SCREEN)).toEqual({ left: 40, top: 126 });
});

test("at the bottom of the screen it stands above", () => {
  expect(placeCard({ left: 40, top: 700, bottom: 720 }, SCREEN)).toEqual({ left: 40, bottom: 106 });
});

test("it never leaves the screen on the right", () => {
  expect(placeCard({ left: 950, top: 100, bottom: 120 }, SCREEN).left).toBe(692);
});
