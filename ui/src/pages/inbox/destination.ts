import type { Notification } from "@/api/types";

const THINGS: Record<string, string> = {
  task: "tasks",
  dataset: "datasets",
  model: "models",
  deployment: "deployments",
};

/** Return the address of what a notification is about, or null if it has no page. */
export function destination({
  type,
  project,
  data,
}: Pick<Notification, "type" | "project" | "data">): string | null {
  const [about = ""] = type.split(":");
  if (about === "security") return "/account?tab=security";
  if (about === "worker") return "/workers";
  if (type === "member:invited") return "/inbox";
  if (!project || type === "member:removed") return null;
  const base = `/p/${encodeURIComponent(project)}`;
  const section = THINGS[about];
  const uuid = data[about];
  if (section && typeof uuid === "string") return `${base}/${section}/${encodeURIComponent(uuid)}`;
  if (about === "schedule") return `${base}/schedules`;
  if (about === "sweep") return `${base}/experiments`;
  if (about === "webhook") return `${base}/settings?tab=webhooks`;
  if (about === "quota") return `${base}/settings?tab=usage`;
  if (about === "member") return `${base}/settings?tab=members`;
  return base;
}
