import { createFileRoute } from "@tanstack/react-router";
import { AccountPage } from "@/pages/account/AccountPage";
import { readAccount } from "@/pages/account/search";

export const Route = createFileRoute("/_app/account/")({
  validateSearch: readAccount,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <AccountPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
