import type { components } from "./schema.gen";

export type ProblemDocument = components["schemas"]["ProblemDocument"] & Record<string, unknown>;

/** A refusal or failure that the API explained in a problem document. */
export class ProblemError extends Error {
  readonly problem: ProblemDocument;
  readonly retryAfter: number | null;

  constructor(problem: ProblemDocument, retryAfter: number | null = null) {
    super(problem.detail);
    this.name = "ProblemError";
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return this.problem.status;
  }

  get code(): string {
    return this.problem.code;
  }
}

/** The API gave no answer at all: it restarts, or the network is down. */
export class ConnectionError extends Error {
  constructor(cause: unknown) {
    super("no answer", { cause });
    this.name = "ConnectionError";
  }
}

/** Return the stable code of a problem, or null for other errors. */
export function codeOf(error: unknown): string | null {
  return error instanceof ProblemError ? error.code : null;
}

/** Return true if a later attempt may succeed without any change by the user. */
export function isTemporary(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof ProblemError && [429, 502, 503, 504].includes(error.status);
}

/** Return the problem that a response describes, or one made from its status. */
export async function readProblem(response: Response): Promise<ProblemError> {
  const after = Number(response.headers.get("retry-after"));
  const retryAfter = Number.isFinite(after) && after > 0 ? after : null;
  const body: unknown = await response.json().catch(() => null);
  if (isProblem(body)) return new ProblemError(body, retryAfter);
  const told = openaiError(body);
  const problem: ProblemDocument = {
    type: "about:blank",
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    code: String(told?.code ?? "http_error"),
    detail: told?.message ?? `HTTP ${response.status}`,
    instance: new URL(response.url).pathname,
  };
  return new ProblemError(problem, retryAfter);
}

function isProblem(value: unknown): value is ProblemDocument {
  return typeof value === "object" && value !== null && "code" in value && "detail" in value;
}

/** Return the error of an answer in OpenAI's format, as the routes under `/v1` give it. */
function openaiError(value: unknown): components["schemas"]["ErrorBody"] | null {
  if (typeof value !== "object" || value === null || !("error" in value)) return null;
  const { error } = value as components["schemas"]["ErrorDocument"];
  return typeof error?.message === "string" ? error : null;
}
