import { createFileRoute } from "@tanstack/react-router";
import { SsoPage } from "@/pages/sign-in/SsoPage";
import { readSso } from "@/pages/sign-in/search";

export const Route = createFileRoute("/sso")({
  validateSearch: readSso,
  component: () => <SsoPage {...Route.useSearch()} />,
});
