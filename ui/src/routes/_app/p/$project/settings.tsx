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
      tab={Route.useSearch().tab}
      onTab={(tab) => void navigate({ search: { tab }, replace: true })}
    />
  );
}
