import { createFileRoute, redirect } from "@tanstack/react-router";
import { ProblemError } from "@/api/problem";
import { sessionOptions } from "@/api/session";
import { PasswordPage } from "@/pages/sign-in/PasswordPage";
import { readNext } from "@/pages/sign-in/search";

export const Route = createFileRoute("/password")({
  validateSearch: readNext,
  beforeLoad: async ({ context }) => {
    try {
      await context.queries.ensureQueryData(sessionOptions);
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401) throw redirect({ to: "/sign-in" });
      throw error;
    }
  },
  component: () => <PasswordPage next={Route.useSearch().next} />,
});
