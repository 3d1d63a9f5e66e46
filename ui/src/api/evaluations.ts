import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "./client";
import { refreshTasks } from "./tasks";
import type { Schema, Task } from "./types";

/** Queue an evaluation. */
export function useEvaluate(project: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: Schema<"TaskIn">) => {
      const { data } = await api.POST("/api/v1/projects/{project}/tasks", {
        params: { path: { project } },
        body,
      });
      return data as Task;
    },
    onSuccess: () => refreshTasks(queries),
  });
}
