import { createFileRoute } from "@tanstack/react-router";
import { ExperimentListPage } from "@/pages/experiments/ExperimentListPage";
import { readList } from "@/pages/experiments/search";

export const Route = createFileRoute("/_app/p/$project/experiments/")({
  validateSearch: readList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ExperimentListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
