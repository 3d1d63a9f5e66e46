/** Short names of the API's shapes. All of them come from its OpenAPI document. */
import type { components, paths } from "./schema.gen";

type Schemas = components["schemas"];
export type Schema<Name extends keyof Schemas> = Schemas[Name];

/** The body of the answer to `GET path`. */
export type Answer<Path extends keyof paths> = paths[Path] extends {
  get: { responses: { 200: { content: { "application/json": infer Body } } } };
}
  ? Body
  : never;

export type Task = Schema<"TaskOut">;
export type TaskDetail = Schema<"TaskDetailOut">;
export type TaskStatus = Schema<"TaskStatus">;
export type TaskType = Schema<"TaskType">;
export type Project = Schema<"ProjectOut">;
export type Member = Schema<"MemberOut">;
export type UserRef = Schema<"UserRef">;
export type Notification = Schema<"NotificationOut">;
export type Worker = Schema<"WorkerOut">;
export type LogChunk = Schema<"LogChunkOut">;
export type LogLevel = Schema<"LogLevel">;
export type TaskEvent = Schema<"TaskEventOut">;
export type Me = Schema<"MeOut">;
export type Dataset = Schema<"DatasetOut">;
export type Experiment = Schema<"ExperimentOut">;
export type Deployment = Schema<"DeploymentOut">;
export type Model = Answer<"/api/v1/models/{model}">;

/** A part of a series, both ends included. */
export interface Steps {
  first: number;
  last: number;
}
