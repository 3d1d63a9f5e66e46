import { type Query, useMutation, useQueryClient } from "@tanstack/react-query";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import { PAGED } from "./pages";
import { allBut } from "./query";
import type { Schema } from "./types";

export type Schedule = Schema<"ScheduleOut">;
export type Firing = Schema<"FiringOut">;

const SCHEDULES = "/api/v1/projects/{project}/schedules";
const SCHEDULE = "/api/v1/schedules/{schedule}";
const FIRINGS = "/api/v1/schedules/{schedule}/firings";

export const schedulesOptions = (project: string) =>
  $api.queryOptions(
    "get",
    SCHEDULES,
    { params: { path: { project }, query: { limit: 200 } } },
    { refetchInterval: 30_000 },
  );

export const scheduleOptions = (schedule: string) =>
  $api.queryOptions(
    "get",
    SCHEDULE,
    { params: { path: { schedule } } },
    { refetchInterval: 15_000 },
  );

export const useFirings = (schedule: string) =>
  $api.useInfiniteQuery(
    "get",
    FIRINGS,
    { params: { path: { schedule }, query: { limit: 50 } } },
    { ...PAGED, refetchInterval: 15_000 },
  );

const concerned = ({ queryKey }: Query) =>
  [SCHEDULES, SCHEDULE, FIRINGS].some((path) => queryKey[1] === path);

function useRefreshSchedules(): () => Promise<void> {
  const queries = useQueryClient();
  return () => queries.invalidateQueries({ predicate: concerned });
}

export function useCreateSchedule(project: string) {
  const refresh = useRefreshSchedules();
  return useMutation({
    mutationFn: async (body: Schema<"ScheduleIn">) => {
      const { data } = await api.POST(SCHEDULES, { params: { path: { project } }, body });
      return data as Schedule;
    },
    onSuccess: refresh,
  });
}

/** Change a schedule; its switch moves immediately, and back if the API refuses. */
export function useChangeSchedule(schedule: string) {
  const queries = useQueryClient();
  const refresh = useRefreshSchedules();
  const key = scheduleOptions(schedule).queryKey;
  return useMutation({
    mutationFn: async (body: Schema<"ScheduleChange">) => {
      const { data } = await api.PATCH(SCHEDULE, {
        params: { path: { schedule }, header: ifMatch() },
        body,
      });
      return data as Schedule;
    },
    onMutate: async ({ enabled }) => {
      await queries.cancelQueries({ queryKey: key });
      const before = queries.getQueryData<Schedule>(key);
      if (before && typeof enabled === "boolean") queries.setQueryData(key, { ...before, enabled });
      return before;
    },
    onError: (_error, _body, before) => queries.setQueryData(key, before),
    onSettled: refresh,
  });
}

export function useDeleteSchedule(schedule: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE(SCHEDULE, { params: { path: { schedule } } }),
    onSuccess: () => queries.invalidateQueries({ predicate: allBut(schedule, concerned) }),
  });
}
