import { createFileRoute } from "@tanstack/react-router";
import { ownAccessOptions, projectOptions } from "@/api/projects";
import { ProjectFrame } from "@/pages/projects/ProjectFrame";

export const Route = createFileRoute("/_app/p/$project")({
  loader: async ({ context, params }) => {
    const found = await context.queries.ensureQueryData(projectOptions(params.project));
    // Almost every page asks what the user may do. The answer comes while the page is drawn.
    if (found[0]) void context.queries.prefetchQuery(ownAccessOptions(found[0].uuid));
  },
  component: ProjectFrame,
});
