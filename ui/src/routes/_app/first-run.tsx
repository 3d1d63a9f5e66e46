import { createFileRoute } from "@tanstack/react-router";
import { FirstRunPage } from "@/pages/first-run/FirstRunPage";
import { readFirstRun } from "@/pages/first-run/search";

export const Route = createFileRoute("/_app/first-run")({
  validateSearch: readFirstRun,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <FirstRunPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
