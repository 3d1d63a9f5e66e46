import { createFileRoute } from "@tanstack/react-router";
import { ImportPage } from "@/pages/models/ImportPage";
import { readImport } from "@/pages/models/search";

export const Route = createFileRoute("/_app/p/$project/models/import")({
  validateSearch: readImport,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ImportPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
