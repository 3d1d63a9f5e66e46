import { useQueryClient } from "@tanstack/react-query";
import { taskMetricsOptions, taskOptions, timelineOptions } from "@/api/tasks";
import type { Schema, TaskDetail } from "@/api/types";
import { useLive } from "@/live/live";
import { addPoint } from "./metrics";

/** Keep what is known of a task up to date while its page is shown. Only new points travel. */
export function useLiveTask(uuid: string, ended: boolean): void {
  const queries = useQueryClient();
  const task = taskOptions(uuid).queryKey;
  const metrics = taskMetricsOptions(uuid).queryKey;
  const readAgain = () => {
    void queries.invalidateQueries({ queryKey: task });
    void queries.invalidateQueries({ queryKey: metrics });
    void queries.invalidateQueries({ queryKey: timelineOptions(uuid).queryKey });
  };
  useLive(
    ended ? [] : [`task:${uuid}`],
    (event) => {
      if (event.event === "progress") {
        const { value, ...detail } = event.data;
        queries.setQueryData(
          task,
          (before: TaskDetail | undefined) =>
            before && {
              ...before,
              progress: value,
              progress_detail: { ...before.progress_detail, ...detail },
            },
        );
      } else if (event.event === "waiting")
        queries.setQueryData(
          task,
          (before: TaskDetail | undefined) => before && { ...before, waiting: event.data },
        );
      else if (event.event === "metrics")
        queries.setQueryData(
          metrics,
          (before: Schema<"SeriesOut"> | undefined) => before && addPoint(before, event.data),
        );
      else if (event.event === "event")
        void queries.invalidateQueries({ queryKey: timelineOptions(uuid).queryKey });
      else if (event.event === "status" || event.event === "end") readAgain();
    },
    readAgain,
  );
}
