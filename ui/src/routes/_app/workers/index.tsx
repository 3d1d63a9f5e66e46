import { createFileRoute } from "@tanstack/react-router";
import { workersOptions } from "@/api/tasks";
import { readWorkers } from "@/pages/workers/search";
import { WorkersPage } from "@/pages/workers/WorkersPage";

export const Route = createFileRoute("/_app/workers/")({
  validateSearch: readWorkers,
  loader: ({ context }) => void context.queries.prefetchQuery(workersOptions),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <WorkersPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
