import { useLingui } from "@lingui/react/macro";
import type { Task } from "@/api/types";

/** Return why a task waits, in the language of the page. */
export function useReason(): (task: Pick<Task, "waiting">) => string | undefined {
  const { i18n } = useLingui();
  return ({ waiting }) => (i18n.locale.startsWith("zh") ? waiting?.reason_zh : waiting?.reason);
}
