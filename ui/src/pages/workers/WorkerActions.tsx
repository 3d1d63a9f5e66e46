import { useLingui } from "@lingui/react/macro";
import { Button, Group, Tooltip } from "@mantine/core";
import { useCan } from "@/api/session";
import type { Worker } from "@/api/types";
import { useWorkerAction, type WorkerAction } from "@/api/workers";
import { useComplain } from "@/design/useComplain";

interface Props {
  worker: Worker;
  /** Inside a table. */
  compact?: boolean;
}

/** Take a worker out of work, or let it work again. All of it can be undone. */
export function WorkerActions({ worker, compact = false }: Props) {
  const { t } = useLingui();
  const can = useCan();
  const complain = useComplain();
  const act = useWorkerAction();
  if (!can("settings:write") || !worker.alive) return null;
  const offered: { action: WorkerAction; label: string; effect: string }[] = [
    ...(worker.state === "active"
      ? [
          {
            action: "cordon" as const,
            label: t`Cordon`,
            effect: t`It accepts no more tasks; running tasks are completed.`,
          },
        ]
      : []),
    ...(worker.state !== "draining"
      ? [
          {
            action: "drain" as const,
            label: t`Drain`,
            effect: t`It accepts no more tasks; tasks with checkpoints move to other workers.`,
          },
        ]
      : []),
    ...(worker.state !== "active"
      ? [
          {
            action: "resume" as const,
            label: t`Resume`,
            effect: t`It accepts tasks again.`,
          },
        ]
      : []),
  ];
  return (
    <Group gap={compact ? 0 : "sm"} justify="flex-end" wrap="nowrap">
      {offered.map(({ action, label, effect }) => (
        <Tooltip key={action} label={effect}>
          <Button
            variant={compact ? "subtle" : "default"}
            loading={act.isPending && act.variables.action === action}
            onClick={() => act.mutate({ worker: worker.uuid, action }, { onError: complain })}
          >
            {label}
          </Button>
        </Tooltip>
      ))}
    </Group>
  );
}
