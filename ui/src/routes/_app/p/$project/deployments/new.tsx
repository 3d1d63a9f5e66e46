import { createFileRoute } from "@tanstack/react-router";
import { NewDeploymentPage } from "@/pages/deployments/NewDeploymentPage";
import { readNewDeployment } from "@/pages/deployments/search";

export const Route = createFileRoute("/_app/p/$project/deployments/new")({
  validateSearch: readNewDeployment,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <NewDeploymentPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
