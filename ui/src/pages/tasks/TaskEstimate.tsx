import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { estimateOptions, runOptions } from "@/api/estimates";
import type { TaskDetail } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { Duration, Size } from "@/design/values";
import { DurationRange, EstimateResult, MemoryRange } from "./EstimateResult";

const MIB = 1024 * 1024;

/** Show what a task has to do with estimates: its own result, or that of its training beside the real figures. */
export function TaskEstimate({ task }: { task: TaskDetail }) {
  if (task.type === "estimate") return <OwnResult task={task} />;
  if (task.type === "training") return <Comparison task={task} />;
  return null;
}

function OwnResult({ task }: { task: TaskDetail }) {
  const found = useQuery({ ...estimateOptions(task.uuid), enabled: task.status === "completed" });
  if (found.error) return <ErrorNotice error={found.error} />;
  return found.data?.result ? <EstimateResult estimate={found.data.result} /> : null;
}

function Comparison({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  const estimate = useQuery(runOptions(task.uuid)).data?.estimate;
  if (!estimate) return null;
  const result = task.result ?? {};
  const number = (name: string) => {
    const value = result[name];
    return typeof value === "number" ? value : null;
  };
  const memory = number("peak_memory_mb");
  return (
    <Figures
      items={[
        { label: t`Estimated memory`, value: <MemoryRange value={estimate.memory_mb} /> },
        {
          label: t`Real peak memory`,
          value: <Size bytes={memory === null ? null : memory * MIB} />,
        },
        { label: t`Estimated duration`, value: <DurationRange value={estimate.seconds} /> },
        { label: t`Real duration`, value: <Duration seconds={number("seconds")} /> },
      ]}
    />
  );
}
