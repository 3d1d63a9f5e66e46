import { createFileRoute } from "@tanstack/react-router";
import { scheduleOptions } from "@/api/schedules";
import { SchedulePage } from "@/pages/schedules/SchedulePage";
import { readSchedule } from "@/pages/schedules/search";

export const Route = createFileRoute("/_app/p/$project/schedules/$schedule")({
  validateSearch: readSchedule,
  loader: ({ context, params }) =>
    context.queries.ensureQueryData(scheduleOptions(params.schedule)),
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <SchedulePage
      uuid={Route.useParams().schedule}
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
