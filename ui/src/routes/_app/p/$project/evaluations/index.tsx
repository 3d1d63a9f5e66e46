import { createFileRoute } from "@tanstack/react-router";
import { EvaluationListPage } from "@/pages/evaluations/EvaluationListPage";
import { readEvaluationList } from "@/pages/evaluations/search";

export const Route = createFileRoute("/_app/p/$project/evaluations/")({
  validateSearch: readEvaluationList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <EvaluationListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
