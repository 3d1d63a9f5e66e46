import { createFileRoute } from "@tanstack/react-router";
import { NewSweepPage } from "@/pages/sweeps/NewSweepPage";
import { readNewSweep } from "@/pages/sweeps/search";

export const Route = createFileRoute("/_app/p/$project/sweeps/new")({
  validateSearch: readNewSweep,
  component: Page,
});

function Page() {
  return <NewSweepPage search={Route.useSearch()} />;
}
