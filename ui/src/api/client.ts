import createClient, { type Middleware } from "openapi-fetch";
import createQueryClient from "openapi-react-query";
import { reportConnection } from "./connection";
import { ConnectionError, readProblem } from "./problem";
import type { paths } from "./schema.gen";

/** The path of the session: what this browser is signed in as. */
export const SESSION = "/api/v1/browser-session";

let language = "en";

/** Set the language in which the API writes its errors and messages. */
export function setApiLanguage(locale: string): void {
  language = locale;
}

/** Headers of every request. The custom one proves that a page of this origin sent it. */
export function apiHeaders(): Record<string, string> {
  return { "X-AIPlatform-UI": "1", "Accept-Language": language };
}

let renewal: Promise<boolean> | null = null;

/** Renew the session's cookie; requests that need it at the same time share one renewal. */
export function renewSession(): Promise<boolean> {
  renewal ??= fetch(SESSION, { headers: apiHeaders(), cache: "no-store" })
    .then((response) => response.ok)
    .catch(() => false)
    .finally(() => {
      renewal = null;
    });
  return renewal;
}

/** Send a request, and once more after a renewal if the session's cookie was too old. */
async function send(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await fetch(request);
  if (response.status !== 401 || new URL(request.url).pathname.startsWith(SESSION)) return response;
  return (await renewSession()) ? fetch(again) : response;
}

const explain: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(apiHeaders())) request.headers.set(name, value);
    return request;
  },
  async onResponse({ response }) {
    // Under `/v1`, 503 and 504 tell of a model server; the platform itself has answered.
    const relayed = new URL(response.url).pathname.startsWith("/v1/");
    reportConnection(relayed || ![502, 503, 504].includes(response.status));
    if (!response.ok) throw await readProblem(response);
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    reportConnection(false);
    return new ConnectionError(error);
  },
};

/** The typed client. Pages use it through `$api` and the hooks beside it. */
export const api = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: "same-origin",
  fetch: send,
  // Several values of one parameter are repeated, as FastAPI expects.
  querySerializer: { array: { style: "form", explode: true } },
});
api.use(explain);

/** Typed query and mutation hooks: `$api.useQuery("get", "/api/v1/…", …)`. */
export const $api = createQueryClient(api);
