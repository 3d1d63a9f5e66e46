import { createFileRoute, redirect } from "@tanstack/react-router";
import { ProblemError } from "@/api/problem";
import { sessionOptions } from "@/api/session";
import { Shell } from "@/app/shell/Shell";

/** Pages for people who are signed in. Others sign in first, and come back to the same address. */
export const Route = createFileRoute("/_app")({
  beforeLoad: async ({ context, location }) => {
    try {
      const session = await context.queries.ensureQueryData(sessionOptions);
      if (!session.user.must_change_password) return;
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401)
        throw redirect({ to: "/sign-in", search: { next: location.href } });
      throw error;
    }
    throw redirect({ to: "/password", search: { next: location.href } });
  },
  component: Shell,
});
