import { createFileRoute } from "@tanstack/react-router";
import { DeploymentListPage } from "@/pages/deployments/DeploymentListPage";
import { readDeploymentList } from "@/pages/deployments/search";

export const Route = createFileRoute("/_app/p/$project/deployments/")({
  validateSearch: readDeploymentList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <DeploymentListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
