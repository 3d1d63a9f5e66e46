import { createFileRoute } from "@tanstack/react-router";
import { ScheduleListPage } from "@/pages/schedules/ScheduleListPage";
import { readScheduleList } from "@/pages/schedules/search";

export const Route = createFileRoute("/_app/p/$project/schedules/")({
  validateSearch: readScheduleList,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <ScheduleListPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
