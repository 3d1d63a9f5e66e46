/** Upload of a model's files. `fetch` does not tell how much has been sent, so this one does. */
import { apiHeaders, renewSession } from "./client";
import { reportConnection } from "./connection";
import { modelFileUrl } from "./models";
import { ConnectionError, readProblem } from "./problem";

interface Sent {
  status: number;
  body: string;
}

/**
 * Upload one file of a model.
 *
 * `onSent` is called with the number of bytes sent so far. Throws a `ProblemError` if the API
 * refuses the file, a `ConnectionError` if it gives no answer, and an `AbortError` if aborted.
 */
export async function uploadModelFile(
  model: string,
  path: string,
  file: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const url = modelFileUrl(model, path);
  let answer = await put(url, file, onSent, signal);
  if (answer.status === 401 && (await renewSession()))
    answer = await put(url, file, onSent, signal);
  if (answer.status < 400) return;
  const response = new Response(answer.body, { status: answer.status });
  Object.defineProperty(response, "url", { value: new URL(url, window.location.origin).href });
  throw await readProblem(response);
}

function put(
  url: string,
  file: Blob,
  onSent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<Sent> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.open("PUT", url);
    for (const [name, value] of Object.entries(apiHeaders())) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    request.onload = () => {
      reportConnection(true);
      resolve({ status: request.status, body: request.responseText });
    };
    request.onerror = () => {
      reportConnection(false);
      reject(new ConnectionError(null));
    };
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.send(file);
  });
}
