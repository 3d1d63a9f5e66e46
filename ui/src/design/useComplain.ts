import { useLingui } from "@lingui/react/macro";
import { notifications } from "@mantine/notifications";
import { ProblemError } from "@/api/problem";

/** Return a function that shows why an action failed, where there is no form to show it in. */
export function useComplain(): (error: unknown) => void {
  const { t } = useLingui();
  return (error) =>
    notifications.show({
      color: "red",
      title: error instanceof ProblemError ? error.problem.title : t`This did not work`,
      message:
        error instanceof ProblemError ? error.problem.detail : t`The platform does not answer.`,
    });
}
