import { createFileRoute } from "@tanstack/react-router";
import { deploymentOptions } from "@/api/deployments";
import { DeploymentPage } from "@/pages/deployments/DeploymentPage";
import { readDeployment } from "@/pages/deployments/search";

export const Route = createFileRoute("/_app/p/$project/deployments/$deployment")({
  validateSearch: readDeployment,
  loader: ({ context, params }) =>
    context.queries.ensureQueryData(deploymentOptions(params.deployment)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <DeploymentPage
      uuid={Route.useParams().deployment}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
