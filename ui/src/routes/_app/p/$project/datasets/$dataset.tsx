import { createFileRoute } from "@tanstack/react-router";
import { datasetOptions } from "@/api/datasets";
import { projectOptions } from "@/api/projects";
import { DatasetPage } from "@/pages/datasets/DatasetPage";
import { readDataset } from "@/pages/datasets/search";

export const Route = createFileRoute("/_app/p/$project/datasets/$dataset")({
  validateSearch: readDataset,
  loader: async ({ context, params }) => {
    const [project] = await context.queries.ensureQueryData(projectOptions(params.project));
    if (project)
      await context.queries.ensureQueryData(datasetOptions(project.uuid, params.dataset));
  },
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <DatasetPage
      param={Route.useParams().dataset}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
