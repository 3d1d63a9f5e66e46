/** The shared worker that holds the live connection of all tabs of this browser. */
import { Hub } from "./hub";
import type { FromHub, ToHub } from "./protocol";

const hub = new Hub();
let clients = 0;

interface SharedScope {
  onconnect: ((event: MessageEvent) => void) | null;
}

(globalThis as unknown as SharedScope).onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  const client = String(++clients);
  const send = (message: FromHub) => port.postMessage(message);
  port.onmessage = ({ data }: MessageEvent<ToHub>) => {
    if (data.kind === "watch") hub.watch(client, data, send);
    else hub.leave(client);
  };
};
