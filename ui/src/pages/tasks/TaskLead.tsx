import { Trans, useLingui } from "@lingui/react/macro";
import type { TaskDetail } from "@/api/types";
import { formatDuration, formatMetric } from "@/design/format";
import { TimeAgo } from "@/design/values";
import { readProgress } from "./progress";

/** The one sentence that says how a task stands. */
export function TaskLead({ task }: { task: TaskDetail }) {
  const { i18n } = useLingui();
  if (task.waiting)
    return <>{i18n.locale.startsWith("zh") ? task.waiting.reason_zh : task.waiting.reason}</>;
  if (task.completed_at)
    return (
      <Trans>
        Ended <TimeAgo time={task.completed_at} />
      </Trans>
    );
  const { step, steps, secondsLeft } = readProgress(task);
  const left = secondsLeft === null ? null : formatDuration(secondsLeft, i18n.locale);
  const at = step === null ? null : formatMetric(step, i18n.locale);
  const of = steps === null ? null : formatMetric(steps, i18n.locale);
  if (at && of && left)
    return (
      <Trans>
        Step {at} of {of}, about {left} left
      </Trans>
    );
  if (at && of)
    return (
      <Trans>
        Step {at} of {of}
      </Trans>
    );
  if (left) return <Trans>About {left} left</Trans>;
  if (task.status === "running") return <Trans>Running on {task.worker ?? "–"}</Trans>;
  return null;
}
