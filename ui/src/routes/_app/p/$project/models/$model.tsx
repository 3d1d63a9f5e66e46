import { createFileRoute } from "@tanstack/react-router";
import { modelOptions } from "@/api/models";
import { ModelPage } from "@/pages/models/ModelPage";
import { readModel } from "@/pages/models/search";

export const Route = createFileRoute("/_app/p/$project/models/$model")({
  validateSearch: readModel,
  loader: ({ context, params }) => context.queries.ensureQueryData(modelOptions(params.model)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ModelPage
      uuid={Route.useParams().model}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
