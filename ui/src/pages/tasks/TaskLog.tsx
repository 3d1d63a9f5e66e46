import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { logOptions } from "@/api/tasks";
import type { LogChunk, TaskDetail } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { LogView } from "@/design/log/LogView";
import { splitChunk } from "@/design/log/lines";
import { TableSkeleton } from "@/design/Skeletons";
import { useLive } from "@/live/live";

interface Props {
  task: TaskDetail;
  /** The line that the address leads to. */
  line: string | undefined;
  onLine: (line: string) => void;
}

/** The log of a task: what is stored, then what is printed. */
export function TaskLog({ task, line, onLine }: Props) {
  const { data, error, refetch } = useQuery(logOptions(task.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton rows={14} />;
  return <StoredLog task={task} line={line} onLine={onLine} chunks={data} />;
}

function StoredLog({ task, line, onLine, chunks }: Props & { chunks: LogChunk[] }) {
  const queries = useQueryClient();
  const key = logOptions(task.uuid).queryKey;
  const live = task.completed_at === null;
  const topic = `logs:${task.uuid}`;
  useLive(
    live ? [topic] : [],
    (event) => {
      if (event.event !== "log") return;
      const chunk = { ...event.data, kept_bytes: 0 } as LogChunk;
      queries.setQueryData(key, (before: LogChunk[] | undefined) =>
        before && chunk.seq > (before.at(-1)?.seq ?? 0) ? [...before, chunk] : before,
      );
    },
    () => void queries.invalidateQueries({ queryKey: key }),
    // The stream continues after the last stored chunk, so that no line is missing.
    { [topic]: String(chunks.at(-1)?.seq ?? 0) },
  );
  const lines = useMemo(() => chunks.flatMap(splitChunk), [chunks]);
  return (
    <LogView
      lines={lines}
      start={task.started_at ? Date.parse(task.started_at) / 1000 : null}
      live={live}
      line={line}
      onLine={onLine}
      download={`/api/v1/tasks/${task.uuid}/logs/download`}
      height="max(320px, calc(100dvh - 400px))"
    />
  );
}
