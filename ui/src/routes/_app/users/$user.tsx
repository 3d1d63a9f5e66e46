import { createFileRoute } from "@tanstack/react-router";
import { userOptions } from "@/api/users";
import { UserPage } from "@/pages/users/UserPage";

export const Route = createFileRoute("/_app/users/$user")({
  loader: ({ context, params }) => context.queries.ensureQueryData(userOptions(params.user)),
  component: () => <UserPage name={Route.useParams().user} />,
});
