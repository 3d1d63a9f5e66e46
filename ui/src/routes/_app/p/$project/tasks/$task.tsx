import { createFileRoute } from "@tanstack/react-router";
import { taskOptions } from "@/api/tasks";
import { readTask } from "@/pages/tasks/search";
import { TaskPage } from "@/pages/tasks/TaskPage";

export const Route = createFileRoute("/_app/p/$project/tasks/$task")({
  validateSearch: readTask,
  loader: ({ context, params }) => context.queries.ensureQueryData(taskOptions(params.task)),
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
