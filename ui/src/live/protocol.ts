/** What the pages and the shared connection tell each other. */
import type { Schema } from "@/api/types";

/** `notifications`; `tasks` and `deployments` of a project; `task:<uuid>`; `logs:<uuid>`. */
export type Topic = string;

/** An event of the live stream, as the API describes it. */
export type LiveEvent = Schema<"StreamEvent">;

/** A page tells which topics it watches now, and in which project. */
export interface Watch {
  kind: "watch";
  topics: Topic[];
  /** Where topics begin: the last chunk of a log that the page has read. */
  from: Record<Topic, string>;
  project: string | null;
}

export interface Leave {
  kind: "leave";
}

export type ToHub = Watch | Leave;

export type FromHub =
  | { kind: "event"; event: LiveEvent }
  | { kind: "open" }
  | { kind: "lost" }
  /** These topics begin now: what changed since the page read them is to be read again. */
  | { kind: "gap"; topics: Topic[] }
  | { kind: "signed-out" };
