import { createFileRoute } from "@tanstack/react-router";
import { taskOptions } from "@/api/tasks";
import { EvaluationPage } from "@/pages/evaluations/EvaluationPage";

export const Route = createFileRoute("/_app/p/$project/evaluations/$evaluation")({
  loader: ({ context, params }) => context.queries.ensureQueryData(taskOptions(params.evaluation)),
  component: Page,
});

function Page() {
  return <EvaluationPage uuid={Route.useParams().evaluation} />;
}
