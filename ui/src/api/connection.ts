/** Whether the API answers. Requests and the live stream report; the banner and queries listen. */

type Listener = () => void;

let online = true;
const listeners = new Set<Listener>();

/** Record whether the last request got an answer. */
export function reportConnection(answered: boolean): void {
  if (answered === online) return;
  online = answered;
  for (const listener of listeners) listener();
}

export function isOnline(): boolean {
  return online;
}

/** Call `listener` on every change; return a function that stops this. */
export function onConnectionChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
