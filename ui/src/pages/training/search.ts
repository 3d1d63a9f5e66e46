export const STEPS = ["data", "model", "method", "resources"] as const;
export type TrainingStep = (typeof STEPS)[number];

export interface TrainingSearch {
  step?: TrainingStep;
  /** An experiment whose settings the form begins with. */
  from?: string;
  dataset?: string;
  model?: string;
}

export function readTraining(raw: Record<string, unknown>): TrainingSearch {
  return {
    step: STEPS.find((step) => step === raw.step),
    from: uuid(raw.from),
    dataset: uuid(raw.dataset),
    model: uuid(raw.model),
  };
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

function uuid(raw: unknown): string | undefined {
  return typeof raw === "string" && UUID.test(raw) ? raw : undefined;
}
