import type { DeploymentAction } from "@/api/deployments";
import type { Deployment } from "@/api/types";

type State = Pick<Deployment, "status">;

const DOWN: readonly Deployment["status"][] = ["stopped", "crashed"];

/** Return true if an action makes sense in the deployment's present state. */
export function mayDo({ status }: State, action: DeploymentAction): boolean {
  if (action === "start") return DOWN.includes(status);
  if (action === "stop") return !DOWN.includes(status) && status !== "stopping";
  return status === "ready";
}
