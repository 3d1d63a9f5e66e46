import { useLingui } from "@lingui/react/macro";
import { Status } from "@/design/Status";

/** Return the name of each outcome. */
export function useOutcomeLabel(): (outcome: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    success: t`Done`,
    denied: t`Denied`,
    failure: t`Failed`,
  };
  return (outcome) => labels[outcome] ?? outcome;
}

const LOOKS: Record<string, string> = {
  success: "completed",
  denied: "cancelled",
  failure: "failed",
};

/** Show what came of an action. */
export function OutcomeStatus({ outcome }: { outcome: string }) {
  const label = useOutcomeLabel();
  return <Status status={LOOKS[outcome] ?? "pending"} label={label(outcome)} />;
}
