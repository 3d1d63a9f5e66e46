import { createFileRoute } from "@tanstack/react-router";
import { InboxPage } from "@/pages/inbox/InboxPage";
import { readInbox } from "@/pages/inbox/search";

export const Route = createFileRoute("/_app/inbox/")({
  validateSearch: readInbox,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <InboxPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
