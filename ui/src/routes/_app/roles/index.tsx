import { createFileRoute } from "@tanstack/react-router";
import { permissionsOptions, rolesOptions } from "@/api/roles";
import { RolesPage } from "@/pages/roles/RolesPage";
import { readRoles } from "@/pages/roles/search";

export const Route = createFileRoute("/_app/roles/")({
  validateSearch: readRoles,
  loader: ({ context }) => {
    void context.queries.prefetchQuery(rolesOptions);
    void context.queries.prefetchQuery(permissionsOptions);
  },
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <RolesPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
