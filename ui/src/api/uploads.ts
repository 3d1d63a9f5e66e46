/** Uploads in pieces: they go on in the background, and are continued after a cut or a reload. */
import type { QueryClient } from "@tanstack/react-query";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { DetailedError, type HttpResponse, Upload } from "tus-js-client";
import { $api, api, apiHeaders, renewSession } from "./client";
import { refreshDatasets } from "./datasets";
import { type ProblemDocument, ProblemError } from "./problem";
import type { Schema, Task } from "./types";

export type StoredUpload = Schema<"UploadOut">;
export type ImportRequest = Schema<"ImportRequest">;
/** How a file is read, and what its rows do; the same for uploads and imports. */
export type ReadingOptions = Partial<
  Pick<
    ImportRequest,
    | "format"
    | "message"
    | "mode"
    | "key"
    | "bad_rows"
    | "map"
    | "types"
    | "encoding"
    | "delimiter"
    | "header"
    | "base_model"
  >
>;

export type UploadStatus = "sending" | "waiting" | "reading" | "done" | "failed";

export interface RunningUpload {
  key: string;
  project: string;
  /** What the upload is called by the API, as soon as it knows of it. */
  uuid: string | null;
  name: string;
  filename: string;
  size: number;
  sent: number;
  /** Bytes per second; null until that can be told. */
  speed: number | null;
  status: UploadStatus;
  error: unknown;
  result: { dataset: string; version: string } | null;
}

export interface NewUpload {
  project: string;
  file: File;
  /** The name of a new dataset, or the dataset that gets a version. */
  target: { name: string } | { dataset: string; name: string };
  options: ReadingOptions;
}

const PIECE = 8 << 20;
const DELAYS = [500, 1_000, 2_000, 4_000, 8_000];
/** How long to wait before trying again when there was no answer at all. */
const PAUSE = 5_000;
const SMOOTH = 0.25;
const OFFSET_CONFLICT = "upload.wrong_offset";

let running: readonly RunningUpload[] = [];
const senders = new Map<string, Upload>();
const listeners = new Set<() => void>();
let counter = 0;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Return the uploads that this page sends or has sent. */
export function useRunningUploads(): readonly RunningUpload[] {
  return useSyncExternalStore(subscribe, () => running);
}

function change(key: string, fields: Partial<RunningUpload>): void {
  running = running.map((upload) => (upload.key === key ? { ...upload, ...fields } : upload));
  for (const listener of listeners) listener();
}

/** Begin an upload; return its key among those of this page. */
export function startUpload(upload: NewUpload, queries: QueryClient): string {
  const { target, options } = upload;
  return send(upload.project, upload.file, target.name, null, queries, {
    ...("dataset" in target ? { dataset: target.dataset } : { name: target.name }),
    filename: upload.file.name,
    ...asMetadata(options),
  });
}

/** Continue an upload whose file was chosen again, for instance after a reload. */
export function continueUpload(
  project: string,
  stored: StoredUpload,
  file: File,
  queries: QueryClient,
): string {
  const name = stored.name ?? stored.filename ?? file.name;
  return send(project, file, name, stored.uuid, queries, {});
}

/** Return options as the texts that the protocol has. */
function asMetadata(options: ReadingOptions): Record<string, string> {
  const given = Object.entries(options).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  return Object.fromEntries(
    given.map(([name, value]) => [
      name,
      typeof value === "object" ? JSON.stringify(value) : String(value),
    ]),
  );
}

function send(
  project: string,
  file: File,
  name: string,
  uuid: string | null,
  queries: QueryClient,
  metadata: Record<string, string>,
): string {
  counter += 1;
  const key = `upload-${counter}`;
  const first: RunningUpload = {
    key,
    project,
    uuid,
    name,
    filename: file.name,
    size: file.size,
    sent: 0,
    speed: null,
    status: "sending",
    error: null,
    result: null,
  };
  running = [first, ...running];
  let last = { time: Date.now(), sent: -1 };
  let speed: number | null = null;
  const upload = new Upload(file, {
    endpoint: `/api/v1/projects/${project}/uploads`,
    uploadUrl: uuid ? `/api/v1/uploads/${uuid}` : null,
    chunkSize: PIECE,
    retryDelays: DELAYS,
    // The API lists unfinished uploads, so the browser need not remember them.
    storeFingerprintForResuming: false,
    metadata,
    onBeforeRequest: (request) => {
      for (const [header, value] of Object.entries(apiHeaders())) request.setHeader(header, value);
    },
    onUploadUrlAvailable: () => change(key, { uuid: upload.url?.split("/").at(-1) ?? null }),
    onShouldRetry: (error) => {
      const status = error.originalResponse?.getStatus() ?? 0;
      if (status === 401) void renewSession();
      // Another 409 says that a name or version is taken: that does not go away by itself.
      if (status === 409)
        return error.originalResponse?.getBody().includes(OFFSET_CONFLICT) ?? false;
      return status === 0 || status >= 500 || [401, 423, 429, 460].includes(status);
    },
    onProgress: (sent) => {
      const time = Date.now();
      if (last.sent >= 0 && time - last.time >= 500 && sent > last.sent) {
        const now = ((sent - last.sent) / (time - last.time)) * 1000;
        speed = speed === null ? now : speed + SMOOTH * (now - speed);
        last = { time, sent };
      } else if (last.sent < 0 || sent < last.sent) last = { time, sent };
      change(key, { sent, speed, status: sent >= file.size ? "reading" : "sending" });
    },
    onSuccess: ({ lastResponse }) => {
      senders.delete(key);
      change(key, { status: "done", sent: file.size, result: resultOf(lastResponse) });
      void refreshDatasets(queries);
      void refreshUploads(queries);
    },
    onError: (error) => {
      const response = error instanceof DetailedError ? error.originalResponse : null;
      if (response) {
        senders.delete(key);
        change(key, { status: "failed", error: problemOf(response) });
        void refreshUploads(queries);
        return;
      }
      change(key, { status: "waiting", speed: null });
      setTimeout(() => {
        if (senders.has(key)) upload.start();
      }, PAUSE);
    },
  });
  senders.set(key, upload);
  upload.start();
  for (const listener of listeners) listener();
  return key;
}

function resultOf(response: HttpResponse): RunningUpload["result"] {
  const dataset = response.getHeader("Aiplatform-Dataset");
  const version = response.getHeader("Aiplatform-Version");
  return dataset && version ? { dataset, version } : null;
}

function problemOf(response: HttpResponse): ProblemError {
  const status = response.getStatus();
  try {
    return new ProblemError(JSON.parse(response.getBody()) as ProblemDocument);
  } catch {
    return new ProblemError({
      type: "about:blank",
      title: `HTTP ${status}`,
      status,
      code: "http_error",
      detail: `HTTP ${status}`,
      instance: "",
    });
  }
}

/** Stop an upload of this page, or take a finished one off the list. */
export function stopUpload(key: string): void {
  const upload = senders.get(key);
  senders.delete(key);
  void upload?.abort();
  running = running.filter((each) => each.key !== key);
  for (const listener of listeners) listener();
}

const UPLOADS = "/api/v1/projects/{project}/uploads";

export const uploadsOptions = (project: string) =>
  $api.queryOptions("get", UPLOADS, { params: { path: { project }, query: { limit: 100 } } });

function refreshUploads(queries: QueryClient): Promise<void> {
  return queries.invalidateQueries({ predicate: ({ queryKey }) => queryKey[1] === UPLOADS });
}

/** Give an upload up: what has arrived is deleted. */
export function useCancelUpload() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (upload: string) =>
      api.DELETE("/api/v1/uploads/{upload}", { params: { path: { upload } } }),
    onSettled: () => refreshUploads(queries),
  });
}

/** Queue an import; the answer is its task. */
export function useImport(project: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: ImportRequest) => {
      const { data } = await api.POST("/api/v1/projects/{project}/dataset-imports", {
        params: { path: { project } },
        body,
      });
      return data as Task;
    },
    onSettled: () => refreshDatasets(queries),
  });
}

export const projectSecretsOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/secrets", {
    params: { path: { project }, query: { limit: 200 } },
  });
