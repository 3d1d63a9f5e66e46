import { createFileRoute } from "@tanstack/react-router";
import { workerOptions } from "@/api/workers";
import { readWorker } from "@/pages/workers/search";
import { WorkerPage } from "@/pages/workers/WorkerPage";

export const Route = createFileRoute("/_app/workers/$worker")({
  validateSearch: readWorker,
  loader: ({ context, params }) => context.queries.ensureQueryData(workerOptions(params.worker)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <WorkerPage
      uuid={Route.useParams().worker}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
