import { createFileRoute } from "@tanstack/react-router";
import { projectsOptions } from "@/api/projects";
import { ProjectListPage } from "@/pages/projects/ProjectListPage";
import { readProjectList } from "@/pages/projects/search";

export const Route = createFileRoute("/_app/projects/")({
  validateSearch: readProjectList,
  loaderDeps: ({ search }) => search,
  loader: ({ context, deps }) =>
    void context.queries.prefetchQuery(projectsOptions(deps.q, deps.status)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ProjectListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
