import { createFileRoute } from "@tanstack/react-router";
import { experimentOptions } from "@/api/experiments";
import { ExperimentPage } from "@/pages/experiments/ExperimentPage";
import { readExperiment } from "@/pages/experiments/search";

export const Route = createFileRoute("/_app/p/$project/experiments/$experiment")({
  validateSearch: readExperiment,
  loader: ({ context, params }) =>
    context.queries.ensureQueryData(experimentOptions(params.experiment)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ExperimentPage
      uuid={Route.useParams().experiment}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
