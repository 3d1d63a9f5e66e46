import { createFileRoute } from "@tanstack/react-router";
import { ComparePage } from "@/pages/experiments/ComparePage";
import { readCompare } from "@/pages/experiments/search";

export const Route = createFileRoute("/_app/p/$project/experiments/compare")({
  validateSearch: readCompare,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ComparePage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
