import { createFileRoute } from "@tanstack/react-router";
import { projectOptions } from "@/api/projects";
import { ProjectFrame } from "@/pages/projects/ProjectFrame";

export const Route = createFileRoute("/_app/p/$project")({
  loader: ({ context, params }) => context.queries.ensureQueryData(projectOptions(params.project)),
  component: ProjectFrame,
});
