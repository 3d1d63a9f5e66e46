import type { Schema } from "@/api/types";
import { FROM_TASK } from "./fromTask";

type Options = Schema<"DeploymentOptions">;

export interface DeploymentDraft {
  name: string;
  /** The name was typed, and is no longer that of the model. */
  named: boolean;
  engine: NonNullable<Options["engine"]>;
  precision: NonNullable<Options["precision"]>;
  /** Numbers are text while they are being typed. */
  maxLength: number | string;
  maxBatchSize: number | string;
  cpus: number | string;
  memoryMb: number | string;
  gpus: number | string;
  queue: string;
  /** The alias of the model that the deployment follows. */
  alias: string | null;
}

/** The defaults of the API, so that the form shows what will be. */
export const EMPTY_DEPLOYMENT: DeploymentDraft = {
  name: "",
  named: false,
  engine: "transformers",
  precision: "auto",
  maxLength: 2048,
  maxBatchSize: 8,
  cpus: 0.1,
  memoryMb: 0,
  gpus: 0,
  queue: "default",
  alias: null,
};

function number(value: number | string, fallback: number): number {
  const parsed = typeof value === "string" ? Number.parseFloat(value) : value;
  return Number.isFinite(parsed) ? parsed : fallback;
}

/** Return the request, or null while the name is missing; `followed` is `name@alias`. */
export function deploymentBody(
  model: string,
  draft: DeploymentDraft,
  followed: string | null = null,
): Schema<"DeploymentIn"> | null {
  const name = draft.name.trim();
  if (!name) return null;
  return {
    name,
    model:
      followed ??
      (model.startsWith(FROM_TASK) ? { from_task: model.slice(FROM_TASK.length) } : model),
    follow: followed !== null,
    queue: draft.queue.trim() || "default",
    options: {
      engine: draft.engine,
      precision: draft.precision,
      max_length: number(draft.maxLength, 2048),
      max_batch_size: number(draft.maxBatchSize, 8),
    },
    resources: {
      cpus: number(draft.cpus, 0.1),
      memory_mb: number(draft.memoryMb, 0),
      gpus: number(draft.gpus, 0),
      gpu_memory_mb: 0,
    },
    after: [],
  };
}

/** Return the command that does the same; defaults are left out. */
export function deployCommand(
  model: string,
  draft: DeploymentDraft,
  followed: string | null = null,
): string {
  const set: string[] = [];
  const changed = (key: "cpus" | "memoryMb" | "gpus", name: string) => {
    const value = number(draft[key], Number(EMPTY_DEPLOYMENT[key]));
    if (value !== EMPTY_DEPLOYMENT[key]) set.push(`--set resources.${name}=${value}`);
  };
  changed("cpus", "cpus");
  changed("memoryMb", "memory_mb");
  changed("gpus", "gpus");
  const options = [
    draft.name.trim() && `--name ${draft.name.trim()}`,
    draft.engine !== "transformers" && `--engine ${draft.engine}`,
    draft.precision !== "auto" && `--precision ${draft.precision}`,
    number(draft.maxLength, 2048) !== 2048 && `--max-length ${draft.maxLength}`,
    number(draft.maxBatchSize, 8) !== 8 && `--max-batch-size ${draft.maxBatchSize}`,
    followed && "--follow",
    ...set,
  ].filter(Boolean);
  return ["aiplatform deploy create", followed ?? model, ...options].join(" ");
}
