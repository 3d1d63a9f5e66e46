import { createFileRoute } from "@tanstack/react-router";
import { SignInPage } from "@/pages/sign-in/SignInPage";
import { readNext } from "@/pages/sign-in/search";

export const Route = createFileRoute("/sign-in")({
  validateSearch: readNext,
  component: () => <SignInPage next={Route.useSearch().next} />,
});
