import { expect, test } from "vitest";
import { deployCommand, deploymentBody, EMPTY_DEPLOYMENT } from "./form";

const draft = { ...EMPTY_DEPLOYMENT, name: "faq" };

test("needs a name", () => {
  expect(deploymentBody("m", EMPTY_DEPLOYMENT)).toBeNull();
});

test("serves a model or what a training will make", () => {
  expect(deploymentBody("m", draft)?.model).toBe("m");
  expect(deploymentBody("task:t", draft)?.model).toEqual({ from_task: "t" });
});

test("falls back to the default while a number is being typed", () => {
  expect(deploymentBody("m", { ...draft, maxLength: "" })?.options?.max_length).toBe(2048);
});

test("leaves defaults out of the command", () => {
  expect(deployCommand("faq@1", draft)).toBe("aiplatform deploy create faq@1 --name faq");
  expect(deployCommand("faq@1", { ...draft, gpus: 1, precision: "bf16" })).toBe(
    "aiplatform deploy create faq@1 --name faq --precision bf16 --set resources.gpus=1",
  );
});

test("follows an alias instead of a version", () => {
  const body = deploymentBody("m", draft, "faq@production");
  expect([body?.model, body?.follow]).toEqual(["faq@production", true]);
  expect(deploymentBody("m", draft)?.follow).toBe(false);
  expect(deployCommand("faq@1", draft, "faq@production")).toBe(
    "aiplatform deploy create faq@production --name faq --follow",
  );
});
