import { expect, test } from "vitest";
import { missingFiles, readChosen, suggestName } from "./importFiles";

function file(path: string, size = 3): File {
  const made = new File(["x".repeat(size)], path.split("/").at(-1) ?? "");
  Object.defineProperty(made, "webkitRelativePath", { value: path.includes("/") ? path : "" });
  return made;
}

test("reads a folder without hidden files", () => {
  const chosen = readChosen([
    file("Qwen/config.json"),
    file("Qwen/.git/config"),
    file("Qwen/sub/model.safetensors"),
  ]);
  expect(chosen.files.map(({ path }) => path)).toEqual(["config.json", "sub/model.safetensors"]);
  expect([chosen.name, chosen.skipped]).toEqual(["Qwen", 1]);
});

test.each([
  ["HuggingFaceTB/SmolLM2-135M", "SmolLM2-135M"],
  ["model q4.gguf", "model-q4"],
  ["__base", "base"],
  ["客服模型", "客服模型"],
])("suggests a name for %s", (source, name) => {
  expect(suggestName(source)).toBe(name);
});

test("leaves out files that have arrived whole", () => {
  const files = readChosen([file("m/a", 3), file("m/b", 4)]).files;
  const stored = [
    { path: "source/a", size: 3 },
    { path: "source/b", size: 1 },
  ];
  expect(missingFiles(files, stored).map(({ path }) => path)).toEqual(["b"]);
});
