import { createFileRoute } from "@tanstack/react-router";
import { DatasetListPage } from "@/pages/datasets/DatasetListPage";
import { readDatasetList } from "@/pages/datasets/search";

export const Route = createFileRoute("/_app/p/$project/datasets/")({
  validateSearch: readDatasetList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <DatasetListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
