import { createFileRoute } from "@tanstack/react-router";
import { projectsOptions } from "@/api/projects";
import { HomePage } from "@/pages/home/HomePage";

export const Route = createFileRoute("/_app/")({
  loader: ({ context }) => void context.queries.prefetchQuery(projectsOptions()),
  component: HomePage,
});
