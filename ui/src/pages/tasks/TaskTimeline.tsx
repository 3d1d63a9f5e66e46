import { useLingui } from "@lingui/react/macro";
import { Timeline } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { timelineOptions } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { TimeAgo } from "@/design/values";

/** What happened to a task, in order. */
export function TaskTimeline({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(timelineOptions(task.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton />;
  const names: Record<string, string> = {
    submitted: t`Submitted`,
    started: t`Work started`,
    rows: t`Data read`,
    environment: t`Environment recorded`,
    model_pinned: t`Model chosen`,
    log_flooded: t`Printed too fast`,
    running: t`Running`,
    checkpoint: t`Checkpoint written`,
    completed: t`Completed`,
    failed: t`Failed`,
    cancelled: t`Cancelled`,
    paused: t`Paused`,
    resumed: t`Resumed`,
    retry: t`Will be tried again`,
    claimed: t`Taken by a worker`,
    alert: t`Alert`,
  };
  return (
    <Timeline bulletSize={14} lineWidth={2} active={data.items.length}>
      {data.items.map((entry) => (
        <Timeline.Item
          key={`${entry.time}${entry.kind}`}
          title={names[entry.kind] ?? entry.kind.replaceAll("_", " ")}
        >
          <span className="secondary">
            <TimeAgo time={entry.time} /> {details(entry.data)}
          </span>
        </Timeline.Item>
      ))}
    </Timeline>
  );
}

/** Return the plain values of an entry. */
function details(data: Record<string, unknown>): string {
  return Object.entries(data)
    .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
    .map(([key, value]) => `${key.replaceAll("_", " ")}: ${String(value)}`)
    .join(" · ");
}
