import { createFileRoute } from "@tanstack/react-router";
import { chartsOptions, comparisonOptions } from "@/api/experiments";
import { holds, ownAccessOptions, projectOptions } from "@/api/projects";
import { ComparePage } from "@/pages/experiments/ComparePage";
import { curveItems, isLive, mostImportant } from "@/pages/experiments/curves";
import { readCompare } from "@/pages/experiments/search";

export const Route = createFileRoute("/_app/p/$project/experiments/compare")({
  validateSearch: readCompare,
  loader: ({ context, params, location }) => {
    // The page draws curves last, but they take longest: they are fetched beside its code.
    const { run = [], experiment = [] } = readCompare(location.search);
    const fetchAhead = async () => {
      const [project] = await context.queries.ensureQueryData(projectOptions(params.project));
      if (!project || run.length + experiment.length === 0) return;
      const { items, series } = await context.queries.ensureQueryData(
        comparisonOptions(project.uuid, run, experiment),
      );
      const access = await context.queries.ensureQueryData(ownAccessOptions(project.uuid));
      const tasks = curveItems(items).map(({ task }) => task);
      const options = chartsOptions(project.uuid, mostImportant(series), tasks, isLive(items));
      if (options.enabled && holds(access, "tasks:read"))
        await context.queries.prefetchQuery(options);
    };
    // The page itself shows what goes wrong.
    void fetchAhead().catch(() => {});
  },
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ComparePage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
