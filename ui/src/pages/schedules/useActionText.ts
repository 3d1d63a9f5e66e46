import { useLingui } from "@lingui/react/macro";
import { useTypeLabel } from "@/pages/tasks/labels";
import type { ScheduledAction } from "./action";

/** Return a function that names what a schedule does. */
export function useActionText(): (action: ScheduledAction) => string {
  const { t } = useLingui();
  const typeLabel = useTypeLabel();
  return ({ kind, type }) => {
    if (kind === "run") return t`Run of an experiment`;
    return typeLabel(type);
  };
}
