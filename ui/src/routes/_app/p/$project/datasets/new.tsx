import { createFileRoute } from "@tanstack/react-router";
import { readNewDataset } from "@/pages/datasets/search";
import { NewDatasetPage } from "@/pages/datasets/upload/NewDatasetPage";

export const Route = createFileRoute("/_app/p/$project/datasets/new")({
  validateSearch: readNewDataset,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <NewDatasetPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
