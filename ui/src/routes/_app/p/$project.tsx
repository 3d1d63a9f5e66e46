import { createFileRoute } from "@tanstack/react-router";
import { ownAccessOptions, projectOptions } from "@/api/projects";
import { ProjectFrame } from "@/pages/projects/ProjectFrame";

export const Route = createFileRoute("/_app/p/$project")({
  loader: async ({ context, params }) => {
    const found = await context.queries.ensureQueryData(projectOptions(params.project));
    // Pages ask what the user may do. One that had to wait for the answer would be drawn 300 ms
    // later, since React shows a fallback for at least that long.
    if (found[0]) await context.queries.ensureQueryData(ownAccessOptions(found[0].uuid));
  },
  component: ProjectFrame,
});
