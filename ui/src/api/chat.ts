/** Chats with deployments: streamed answers, and rows of datasets that are made of them. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createParser } from "eventsource-parser";
import { $api, api } from "./client";
import { ProblemError } from "./problem";
import type { paths } from "./schema.gen";
import type { Dataset, Schema } from "./types";

type Chat = paths["/v1/chat/completions"]["post"];
type Chunk = Chat["responses"][200]["content"]["text/event-stream"];
export type ChatBody = Chat["requestBody"]["content"]["application/json"];
export type ChatUsage = NonNullable<Chunk["usage"]>;

export interface ChatListener {
  /** A piece of the answer; about one token. */
  onPiece: (text: string) => void;
  /** A piece of what the model thinks before it answers, where its server tells. */
  onReasoning: (text: string) => void;
  onFinish: (reason: string) => void;
  onUsage: (usage: ChatUsage) => void;
}

/** Ask a deployment, and pass on the pieces of its answer until it is complete. */
export async function streamChat(
  body: ChatBody,
  listener: ChatListener,
  signal: AbortSignal,
): Promise<void> {
  const { data, response } = await api.POST("/v1/chat/completions", {
    body: { ...body, stream: true, stream_options: { include_usage: true } },
    parseAs: "stream",
    signal,
  });
  if (!data) return;
  let ended = false;
  const parser = createParser({
    onEvent: ({ data: text }) => {
      if (text === "[DONE]") ended = true;
      else if (readChunk(JSON.parse(text) as Chunk, listener)) ended = true;
    },
  });
  const decoder = new TextDecoder();
  const reader = (data as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parser.feed(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.releaseLock();
  }
  // A connection that is cut in the middle must not look like a complete answer.
  if (!ended) throw problemOf("cut", "", response.status);
}

/** Pass on a part of the answer; return true if it was the reason of its end. */
function readChunk(chunk: Chunk, listener: ChatListener): boolean {
  if (chunk.error)
    throw problemOf(String(chunk.error.code ?? "chat.failed"), chunk.error.message, 503);
  if (chunk.usage) listener.onUsage(chunk.usage);
  const choice = chunk.choices?.[0];
  const reasoning = choice?.delta?.reasoning_content;
  if (reasoning) listener.onReasoning(reasoning);
  const text = choice?.delta?.content;
  if (text) listener.onPiece(text);
  if (!choice?.finish_reason) return false;
  listener.onFinish(choice.finish_reason);
  return true;
}

function problemOf(code: string, detail: string, status: number): ProblemError {
  return new ProblemError({
    type: "about:blank",
    title: "",
    status,
    code,
    detail,
    instance: "/v1/chat/completions",
  });
}

export const datasetsForRowsOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/datasets", {
    params: { path: { project }, query: { limit: 200 } },
  });

export type Row = NonNullable<Schema<"PatchRequest">["add"]>[number];

interface RowTarget {
  /** The dataset that gets the row, or null for a new one. */
  dataset: string | null;
  /** The name of the new dataset. */
  name: string;
  row: Row;
  message: string;
}

/** Commit a version with one row more, or a new dataset with this row; return the dataset. */
export function useSaveRow(project: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ dataset, name, row, message }: RowTarget) => {
      if (dataset) {
        const { data } = await api.POST("/api/v1/datasets/{dataset}/patch", {
          params: { path: { dataset } },
          body: { add: [row], set: [], delete: [], message },
        });
        return { dataset, version: data?.version ?? "" };
      }
      const { data } = await api.POST("/api/v1/projects/{project}/datasets", {
        params: { path: { project }, query: { name, filename: "chats.jsonl", message } },
        body: `${JSON.stringify(row)}\n`,
        headers: { "Content-Type": "application/octet-stream" },
        bodySerializer: (text) => text,
      });
      const made = data as Dataset;
      return { dataset: made.uuid, version: made.version };
    },
    onSuccess: () =>
      queries.invalidateQueries({
        predicate: ({ queryKey }) => String(queryKey[1]).includes("/datasets"),
      }),
  });
}
