import { expect, test } from "vitest";
import { countSteps, DEFAULTS, fromConfig, readTokens, toSpec, tunes, withChange } from "./draft";
import { toCli, toPython, toYaml } from "./equivalents";
import { isComplete, NEW_REWARD } from "./rewards";

test("steps follow from rows, batch, devices and epochs, unless their number is given", () => {
  const draft = { ...DEFAULTS, epochs: 3, batchSize: 8, accumulation: 2 };
  expect(countSteps(draft, 100)).toBe(21);
  expect(countSteps({ ...draft, gpus: 2 }, 100)).toBe(12);
  expect(countSteps({ ...draft, maxSteps: 7 }, null)).toBe(7);
  expect(countSteps(draft, null)).toBeNull();
});

test("whoever changes what a preset sets has settings of their own", () => {
  const trial = withChange(DEFAULTS, { preset: "trial" });
  expect(trial.maxSteps).toBe(20);
  expect(withChange(trial, { name: "x" }).preset).toBe("trial");
  expect(withChange(trial, { loraRank: 4 }).preset).toBe("own");
});

test("a method has its own fields, and a usual learning rate", () => {
  const pairs = withChange(DEFAULTS, { method: "dpo" });
  expect(pairs.learningRate).toBeCloseTo(5e-5);
  expect(pairs.preset).toBe("balanced");
  expect(withChange(pairs, { name: "x" }).preset).toBe("balanced");
  expect(withChange(pairs, { preset: "thorough" }).learningRate).toBeCloseTo(2.5e-5);
  expect(toSpec(pairs)).toMatchObject({ method: "dpo", beta: 0.1, label_smoothing: 0 });
  expect(toSpec(pairs)).not.toHaveProperty("neftune_alpha");
  expect(toSpec(DEFAULTS)).not.toHaveProperty("beta");
  const robust = { ...pairs, dpoLoss: "robust" as const, labelSmoothing: 0.2 };
  const back = { ...DEFAULTS, ...fromConfig({ ...toSpec(robust) }) };
  expect(back).toMatchObject({ method: "dpo", dpoLoss: "robust", labelSmoothing: 0.2 });
  expect(toCli(pairs, names)).toContain("--method dpo");
  expect(toCli(pairs, names)).not.toContain("--learning-rate");
});

test("a spec comes back as the same form", () => {
  const draft = { ...DEFAULTS, dataset: "d", version: "v1", model: "m", learningRate: 0.001 };
  const {
    name: _name,
    preset: _preset,
    ...back
  } = { ...DEFAULTS, ...fromConfig({ ...toSpec(draft) }) };
  expect(back).toMatchObject({ dataset: "d", version: "v1", model: "m", learningRate: 0.001 });
});

test("tokens come from the report only", () => {
  expect(readTokens({ tokens: { total: 10, max: 4, p95: 3 } })?.total).toBe(10);
  expect(readTokens({ tokens: null })).toBeNull();
  expect(readTokens(null)).toBeNull();
});

const names = {
  project: "demo",
  dataset: "faq@v2",
  evalDataset: null,
  replayDataset: null,
  model: "small@1",
};

test("the equivalents name what differs from the defaults, and quote it", () => {
  const draft = { ...DEFAULTS, name: "it's", dataset: "d", model: "m", loraRank: 8 };
  expect(toCli(draft, names)).toContain(`--name 'it'\\''s'`);
  expect(toCli(draft, names)).toContain("--lora-rank 8");
  expect(toCli(draft, names)).not.toContain("--seed");
  expect(toPython(draft, names)).toContain('lora={"rank": 8}');
  expect(toYaml(draft, names)).toContain("lora:\n  rank: 8");
  expect(toYaml(draft, names)).toContain('base_model: "small@1"');
});

test("continued pre-training names the data to mix in", () => {
  const draft = { ...DEFAULTS, method: "cpt" as const, replayDataset: "r", replayShare: 0.2 };
  expect(toSpec(DEFAULTS)).not.toHaveProperty("replay_dataset");
  expect(toSpec(draft)).not.toHaveProperty("loss");
  expect(toSpec(draft)).toMatchObject({ method: "cpt", replay_dataset: { dataset: "r" } });
  expect(fromConfig({ ...toSpec(draft) })).toMatchObject({ method: "cpt", replayShare: 0.2 });
  const cli = toCli(draft, { ...names, replayDataset: "chats@v1" });
  expect(cli).toContain("--method cpt");
  expect(cli).toContain("--set replay_dataset=chats@v1");
  expect(cli).toContain("--set replay_share=0.2");
});

test("learning from labelled answers has weights and a loss of its own", () => {
  const draft = { ...withChange(DEFAULTS, { method: "kto" }), badWeight: 3 };
  expect(draft.learningRate).toBeCloseTo(5e-5);
  expect(toSpec(draft)).toMatchObject({ loss_type: "kto", undesirable_weight: 3, beta: 0.1 });
  const cli = toCli(draft, names);
  expect(cli).toContain("--method kto");
  expect(cli).toContain("--set undesirable_weight=3");
  expect(cli).not.toContain("loss_type");
  const back = {
    ...DEFAULTS,
    ...fromConfig({ ...toSpec({ ...draft, ktoLoss: "apo_zero_unpaired" }) }),
  };
  expect(back).toMatchObject({ method: "kto", ktoLoss: "apo_zero_unpaired", badWeight: 3 });
  expect(back.dpoLoss).toBe("sigmoid");
});

test("learning from rewards has a list of them, and its own strength of the comparison", () => {
  const rewards = [
    { ...NEW_REWARD, kind: "contains" as const, text: "New York", weight: 2 },
    { ...NEW_REWARD, kind: "regex" as const, pattern: "^\\d+$", ignoreCase: true },
    { ...NEW_REWARD, kind: "json_schema" as const, schema: '{"type":"object"}' },
  ];
  const draft = { ...withChange(DEFAULTS, { method: "grpo" }), rewards };
  expect(draft).toMatchObject({ beta: 0.04, loraDropout: 0 });
  expect(withChange(draft, { method: "dpo" }).beta).toBe(0.1);
  expect(toSpec(draft)).toMatchObject({
    method: "grpo",
    num_generations: 8,
    rewards: [
      { kind: "contains", text: "New York", weight: 2 },
      { kind: "regex", pattern: "^\\d+$", whole: false },
      { kind: "json_schema", json_schema: { type: "object" } },
    ],
  });
  expect(toSpec(DEFAULTS)).not.toHaveProperty("rewards");
  const cli = toCli(draft, names);
  expect(cli).toContain("--method grpo");
  expect(cli).toContain(`--reward 'contains weight=2 text="New York"'`);
  expect(cli).toContain("--reward 'regex pattern=^\\d+$ ignore_case=true'");
  expect(cli).not.toContain("--set");
  expect(toPython(draft, names)).toContain(
    '{"kind": "regex", "pattern": "^\\\\d+$", "ignore_case": True}',
  );
  expect(toYaml(draft, names)).toContain(
    'rewards:\n  - {"kind":"contains","weight":2,"text":"New York"}',
  );
  const quoted = { ...draft, rewards: [{ ...NEW_REWARD, kind: "contains" as const, text: `'"` }] };
  expect(toCli(quoted, names)).toContain("--set 'rewards=[");
  const back = { ...DEFAULTS, ...fromConfig({ ...toSpec(draft) }) };
  expect(back).toMatchObject({ method: "grpo", rewards, generations: 8, grpoLoss: "grpo" });
});

test("a reward is complete if what its kind requires can be read", () => {
  const json = { ...NEW_REWARD, kind: "json_schema" as const };
  expect(isComplete(NEW_REWARD)).toBe(true);
  expect(isComplete({ ...NEW_REWARD, weight: Number.NaN })).toBe(false);
  expect(isComplete({ ...NEW_REWARD, kind: "regex" })).toBe(false);
  expect(isComplete({ ...json, schema: "[1]" })).toBe(false);
  expect(isComplete({ ...json, schema: "{" })).toBe(false);
  expect(isComplete({ ...NEW_REWARD, kind: "custom", name: "mine" })).toBe(true);
});

test("a step that learns from rewards takes fewer rows, and only full ones", () => {
  const draft = { ...DEFAULTS, method: "grpo" as const, batchSize: 16, epochs: 2 };
  expect(countSteps(draft, 9)).toBe(8);
  expect(countSteps({ ...draft, accumulation: 2 }, 9)).toBe(4);
});

test("embeddings are learned in larger batches", () => {
  const draft = { ...withChange(DEFAULTS, { method: "embedding" }), pooling: "cls" as const };
  expect(toSpec(draft)).toMatchObject({ method: "embedding", pooling: "cls", batch_size: 32 });
  expect(toCli(draft, names)).toContain("pooling=");
  expect(toCli(draft, names)).not.toContain("batch");
  expect(fromConfig({ ...toSpec(draft) })).toMatchObject({ pooling: "cls", scale: 20 });
});

test("an encoder is tuned to a classifier, and a classifier not at all", () => {
  expect(tunes("classification", "encoder")).toBe(true);
  expect(tunes("classification", "language_model")).toBe(true);
  expect(tunes("classification", "classifier")).toBe(false);
  expect(tunes("sft", "encoder")).toBe(false);
  expect(tunes("embedding", "encoder")).toBe(true);
  expect(tunes("embedding", "language_model")).toBe(false);
});

test("classification weighs labels only if rows have one label each", () => {
  const draft = { ...DEFAULTS, method: "classification" as const, balanced: true };
  expect(toSpec(draft)).toMatchObject({ class_weights: "balanced", label_separator: null });
  const several = toSpec({ ...draft, labelSeparator: "," });
  expect(several).toMatchObject({ class_weights: "none", label_separator: "," });
  expect(fromConfig({ ...toSpec(draft) })).toMatchObject({ balanced: true });
});
