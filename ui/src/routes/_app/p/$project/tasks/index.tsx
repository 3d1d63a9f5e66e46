import { createFileRoute } from "@tanstack/react-router";
import { readTaskList } from "@/pages/tasks/search";
import { TaskListPage } from "@/pages/tasks/TaskListPage";

export const Route = createFileRoute("/_app/p/$project/tasks/")({
  validateSearch: readTaskList,
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
