import type { FromHub, Topic, Watch } from "./protocol";
import { LiveStream } from "./stream";

/** Pages navigate in bursts: the connection changes once, after the last of them. */
const SETTLE = 60;

interface Client {
  topics: ReadonlySet<Topic>;
  project: string | null;
  send: (message: FromHub) => void;
}

interface Connection {
  key: string;
  stream: LiveStream;
}

/** The connections of all pages of a browser: one for each project that is watched. */
export class Hub {
  private readonly clients = new Map<string, Client>();
  private readonly connections = new Map<string, Connection>();
  private readonly positions = new Map<string, Map<Topic, string>>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  watch(client: string, watch: Watch, send: (message: FromHub) => void): void {
    this.clients.set(client, { topics: new Set(watch.topics), project: watch.project, send });
    const positions = this.positionsOf(watch.project ?? "");
    for (const [topic, position] of Object.entries(watch.from)) positions.set(topic, position);
    this.schedule();
  }

  leave(client: string): void {
    this.clients.delete(client);
    this.schedule();
  }

  private positionsOf(project: string): Map<Topic, string> {
    const known = this.positions.get(project) ?? new Map<Topic, string>();
    this.positions.set(project, known);
    return known;
  }

  private schedule(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.settle(), SETTLE);
  }

  private settle(): void {
    const wanted = unionByProject(this.clients.values());
    for (const [project, connection] of this.connections) {
      if (wanted.get(project)?.key === connection.key) continue;
      connection.stream.close();
      this.connections.delete(project);
    }
    for (const [project, { key, topics }] of wanted) {
      if (this.connections.has(project)) continue;
      const positions = this.positionsOf(project);
      // A topic that nobody watched in between starts anew, with what its page reads.
      for (const topic of positions.keys()) if (!topics.has(topic)) positions.delete(topic);
      const send = (message: FromHub) => this.spread(project, message);
      const stream = new LiveStream([...topics].sort(), project || null, positions, send);
      this.connections.set(project, { key, stream });
    }
  }

  private spread(project: string, message: FromHub): void {
    const topic = message.kind === "event" ? message.event.topic : null;
    for (const client of this.clients.values()) {
      if ((client.project ?? "") !== project) continue;
      if (topic === null || client.topics.has(topic)) client.send(message);
    }
  }
}

/** Return the topics that the pages of each project watch together, with a key to compare them. */
export function unionByProject(
  clients: Iterable<{ topics: ReadonlySet<Topic>; project: string | null }>,
): Map<string, { key: string; topics: Set<Topic> }> {
  const union = new Map<string, { key: string; topics: Set<Topic> }>();
  for (const { topics, project } of clients) {
    if (topics.size === 0) continue;
    const entry = union.get(project ?? "") ?? { key: "", topics: new Set<Topic>() };
    for (const topic of topics) entry.topics.add(topic);
    entry.key = [...entry.topics].sort().join(",");
    union.set(project ?? "", entry);
  }
  return union;
}
