import { createFileRoute } from "@tanstack/react-router";
import { readTraining } from "@/pages/training/search";
import { TrainingPage } from "@/pages/training/TrainingPage";

export const Route = createFileRoute("/_app/p/$project/experiments/new")({
  validateSearch: readTraining,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <TrainingPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
