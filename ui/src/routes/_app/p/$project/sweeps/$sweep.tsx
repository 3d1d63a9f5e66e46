import { createFileRoute } from "@tanstack/react-router";
import { sweepOptions } from "@/api/sweeps";
import { SweepPage } from "@/pages/sweeps/SweepPage";
import { readSweep } from "@/pages/sweeps/search";

export const Route = createFileRoute("/_app/p/$project/sweeps/$sweep")({
  validateSearch: readSweep,
  loader: ({ context, params }) => context.queries.ensureQueryData(sweepOptions(params.sweep)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <SweepPage
      uuid={Route.useParams().sweep}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
