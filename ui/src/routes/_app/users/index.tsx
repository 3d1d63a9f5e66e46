import { createFileRoute } from "@tanstack/react-router";
import { readUsers } from "@/pages/users/search";
import { UsersPage } from "@/pages/users/UsersPage";

export const Route = createFileRoute("/_app/users/")({
  validateSearch: readUsers,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <UsersPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
