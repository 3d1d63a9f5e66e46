import { useEffect, useRef } from "react";
import { reportConnection } from "@/api/connection";
import { Hub } from "./hub";
import type { FromHub, LiveEvent, ToHub, Topic } from "./protocol";

type Handler = (event: LiveEvent) => void;

interface Subscription {
  topics: readonly Topic[];
  from: Record<Topic, string>;
  onEvent: Handler;
  onGap: () => void;
}

/** How long a hidden tab stays connected: a short look at another tab costs nothing. */
const HIDDEN = 20_000;

const subscriptions = new Set<Subscription>();
let project: string | null = null;
let hiddenTimer: ReturnType<typeof setTimeout> | undefined;
let asleep = false;
let onSignedOut: () => void = () => {};

const post = connect();

function connect(): (message: ToHub) => void {
  if (typeof SharedWorker === "undefined") {
    const hub = new Hub();
    return (message) =>
      message.kind === "watch" ? hub.watch("page", message, receive) : hub.leave("page");
  }
  const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: "aiplatform-live",
  });
  worker.port.onmessage = ({ data }: MessageEvent<FromHub>) => receive(data);
  worker.port.start();
  window.addEventListener("pagehide", () =>
    worker.port.postMessage({ kind: "leave" } satisfies ToHub),
  );
  window.addEventListener("pageshow", () => announce());
  return (message) => worker.port.postMessage(message);
}

function receive(message: FromHub): void {
  switch (message.kind) {
    case "event":
      for (const { topics, onEvent } of [...subscriptions])
        if (message.event.topic === null || topics.includes(message.event.topic))
          onEvent(message.event);
      return;
    case "gap":
      for (const { topics, onGap } of [...subscriptions])
        if (topics.some((topic) => message.topics.includes(topic))) onGap();
      return;
    case "signed-out":
      onSignedOut();
      return;
    default:
      reportConnection(message.kind === "open");
  }
}

function announce(): void {
  if (asleep) return;
  const topics = [...new Set([...subscriptions].flatMap((subscription) => subscription.topics))];
  const from = Object.assign({}, ...[...subscriptions].map((subscription) => subscription.from));
  post({ kind: "watch", topics, from, project });
  // A position is told once: from here on the shared connection knows better.
  for (const subscription of subscriptions) subscription.from = {};
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      asleep = true;
      post({ kind: "leave" });
    }, HIDDEN);
  } else if (asleep) {
    asleep = false;
    announce();
  }
});

/** Set what happens when the stream is refused because the session has ended. */
export function setLiveSignedOutHandler(handler: () => void): void {
  onSignedOut = handler;
}

/** Set the project whose `tasks` and `deployments` this page watches. */
export function setLiveProject(uuid: string | null): void {
  if (uuid === project) return;
  project = uuid;
  announce();
}

/**
 * Call `onEvent` for each event of the topics while the component is shown.
 *
 * `onGap` is called when events may have been missed; read again what they would have changed.
 * `from` names the position after which a topic begins, so that there is no gap.
 */
export function useLive(
  topics: readonly Topic[],
  onEvent: Handler,
  onGap: () => void,
  from: Record<Topic, string> = {},
): void {
  const handlers = useRef({ onEvent, onGap, from });
  handlers.current = { onEvent, onGap, from };
  const key = topics.join(",");
  useEffect(() => {
    if (!key) return;
    const subscription: Subscription = {
      topics: key.split(","),
      from: handlers.current.from,
      onEvent: (event) => handlers.current.onEvent(event),
      onGap: () => handlers.current.onGap(),
    };
    subscriptions.add(subscription);
    announce();
    return () => {
      subscriptions.delete(subscription);
      announce();
    };
  }, [key]);
}
