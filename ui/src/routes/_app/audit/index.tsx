import { createFileRoute } from "@tanstack/react-router";
import { AuditPage } from "@/pages/audit/AuditPage";
import { readAudit } from "@/pages/audit/search";

export const Route = createFileRoute("/_app/audit/")({
  validateSearch: readAudit,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <AuditPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
