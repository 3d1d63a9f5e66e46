import { createFileRoute } from "@tanstack/react-router";
import { taskMetricsOptions, taskOptions } from "@/api/tasks";
import { readTask, tabOf } from "@/pages/tasks/search";
import { TaskPage } from "@/pages/tasks/TaskPage";

export const Route = createFileRoute("/_app/p/$project/tasks/$task")({
  validateSearch: readTask,
  loader: async ({ context, params, location }) => {
    const search = readTask(location.search);
    const fetchCurves = () => context.queries.prefetchQuery(taskMetricsOptions(params.task));
    if (search.tab === "curves") void fetchCurves();
    const task = await context.queries.ensureQueryData(taskOptions(params.task));
    if (tabOf(task.type, search) === "curves") void fetchCurves();
  },
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <TaskPage
      uuid={Route.useParams().task}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
