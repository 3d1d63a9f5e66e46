import { createFileRoute } from "@tanstack/react-router";
import { ModelListPage } from "@/pages/models/ModelListPage";
import { readModelList } from "@/pages/models/search";

export const Route = createFileRoute("/_app/p/$project/models/")({
  validateSearch: readModelList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ModelListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
