import { createFileRoute } from "@tanstack/react-router";
import { projectOptions } from "@/api/projects";
import { taskPagesOptions } from "@/api/tasks";
import { filterOf, readTaskList } from "@/pages/tasks/search";
import { TaskListPage } from "@/pages/tasks/TaskListPage";

export const Route = createFileRoute("/_app/p/$project/tasks/")({
  validateSearch: readTaskList,
  loader: ({ context, params, location }) => {
    const search = readTaskList(location.search);
    if (search.view === "queue") return;
    const fetchAhead = async () => {
      const [project] = await context.queries.ensureQueryData(projectOptions(params.project));
      if (project)
        await context.queries.prefetchInfiniteQuery(
          taskPagesOptions(project.uuid, filterOf(search)),
        );
    };
    // The page itself shows what goes wrong.
    void fetchAhead().catch(() => {});
  },
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <TaskListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
