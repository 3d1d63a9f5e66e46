import { createFileRoute } from "@tanstack/react-router";
import { ComparePage } from "@/pages/models/ComparePage";
import { readCompare } from "@/pages/models/search";

export const Route = createFileRoute("/_app/p/$project/models/compare")({
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
