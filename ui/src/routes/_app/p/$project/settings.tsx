import { createFileRoute } from "@tanstack/react-router";
import { ProjectSettingsPage } from "@/pages/projects/ProjectSettingsPage";
import { readSettings } from "@/pages/projects/search";

export const Route = createFileRoute("/_app/p/$project/settings")({
  validateSearch: readSettings,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ProjectSettingsPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
