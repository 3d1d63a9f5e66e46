import { createParser } from "eventsource-parser";
import type { FromHub, LiveEvent, Topic } from "./protocol";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;
/** The server sends a comment every 15 seconds; silence for longer means a dead connection. */
const SILENCE = 40_000;

/**
 * One connection to the live stream that resumes after the last events it received.
 *
 * `fetch` is used rather than EventSource, which hides the status of a refusal, and whose first
 * request can't name the events to continue after.
 */
export class LiveStream {
  private delay = FIRST_DELAY;
  private closed = false;
  private abort: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly topics: readonly Topic[],
    private readonly project: string | null,
    private readonly positions: Map<Topic, string>,
    private readonly send: (message: FromHub) => void,
  ) {
    void this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  private async connect(): Promise<void> {
    this.abort = new AbortController();
    try {
      const response = await fetch(streamUrl(this.topics, this.project, this.positions), {
        signal: this.abort.signal,
        headers: { Accept: "text/event-stream", "X-AIPlatform-UI": "1" },
        cache: "no-store",
      });
      if (response.status === 401 && !(await this.renew())) {
        this.send({ kind: "signed-out" });
        return;
      }
      // A position that is no longer understood must not stop the stream permanently.
      if (response.status === 422) this.positions.clear();
      if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
      const topics = this.topics.filter((topic) => !this.positions.has(topic));
      if (topics.length > 0) this.send({ kind: "gap", topics });
      this.send({ kind: "open" });
      this.delay = FIRST_DELAY;
      await this.read(response.body);
    } catch {
      if (this.closed) return;
      this.send({ kind: "lost" });
    }
    if (this.closed) return;
    this.timer = setTimeout(() => void this.connect(), this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
  }

  /** Reading the session renews its cookie if that is due. */
  private async renew(): Promise<boolean> {
    const headers = { "X-AIPlatform-UI": "1" };
    const response = await fetch("/api/v1/browser-session", { headers, cache: "no-store" });
    return response.ok;
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    const parser = createParser({ onEvent: ({ data }) => this.receive(data) });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    try {
      for (;;) {
        watchdog = setTimeout(() => this.abort?.abort(), SILENCE);
        const { done, value } = await reader.read();
        clearTimeout(watchdog);
        if (done) return;
        parser.feed(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  private receive(data: string): void {
    const event = JSON.parse(data) as LiveEvent;
    if (event.topic && event.position) this.positions.set(event.topic, event.position);
    this.send({ kind: "event", event });
  }
}

/** Return the address of the stream that continues the topics after their positions. */
export function streamUrl(
  topics: readonly Topic[],
  project: string | null,
  positions: ReadonlyMap<Topic, string>,
): string {
  const query = new URLSearchParams({ topics: topics.join(",") });
  if (project) query.set("project", project);
  const known = topics.flatMap((topic) => {
    const position = positions.get(topic);
    return position ? [`${topic}@${position}`] : [];
  });
  if (known.length > 0) query.set("after", known.join(","));
  return `/api/v1/stream?${query}`;
}
