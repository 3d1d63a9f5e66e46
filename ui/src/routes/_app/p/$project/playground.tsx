import { createFileRoute } from "@tanstack/react-router";
import { PlaygroundPage } from "@/pages/playground/PlaygroundPage";
import { readPlayground } from "@/pages/playground/search";

export const Route = createFileRoute("/_app/p/$project/playground")({
  validateSearch: readPlayground,
  component: Page,
});

function Page() {
  const navigate = Route.useNavigate();
  return (
    <PlaygroundPage
      search={Route.useSearch()}
      onSearch={(search) => void navigate({ search, replace: true })}
    />
  );
}
