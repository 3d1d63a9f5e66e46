import { useLingui } from "@lingui/react/macro";
import {
  IconCircleCheck,
  IconCircleDashed,
  IconCircleX,
  IconLoader2,
  IconPlayerPause,
  IconPower,
  IconSquareX,
} from "@tabler/icons-react";
import type { ComponentType } from "react";
import classes from "./Status.module.css";

type Tone = "pending" | "running" | "completed" | "failed" | "paused" | "cancelled";

interface Look {
  tone: Tone;
  icon: ComponentType<{ size?: number; className?: string; "aria-hidden"?: boolean }>;
}

const PENDING: Look = { tone: "pending", icon: IconCircleDashed };
const RUNNING: Look = { tone: "running", icon: IconLoader2 };
const COMPLETED: Look = { tone: "completed", icon: IconCircleCheck };
const FAILED: Look = { tone: "failed", icon: IconCircleX };
const PAUSED: Look = { tone: "paused", icon: IconPlayerPause };
const CANCELLED: Look = { tone: "cancelled", icon: IconSquareX };
const OFF: Look = { tone: "pending", icon: IconPower };

/** The look of each state of tasks, datasets, experiments, models, deployments, projects, workers. */
const LOOKS: Record<string, Look> = {
  pending: PENDING,
  created: PENDING,
  draft: PENDING,
  uploaded: PENDING,
  running: RUNNING,
  processing: RUNNING,
  uploading: RUNNING,
  starting: RUNNING,
  updating: RUNNING,
  restarting: RUNNING,
  resuming: RUNNING,
  completed: COMPLETED,
  ready: COMPLETED,
  active: COMPLETED,
  succeeded: COMPLETED,
  delivered: COMPLETED,
  submitted: COMPLETED,
  passed: COMPLETED,
  failed: FAILED,
  crashed: FAILED,
  lost: FAILED,
  refused: FAILED,
  not_passed: FAILED,
  paused: PAUSED,
  cancelling: PAUSED,
  cordoned: PAUSED,
  draining: PAUSED,
  stopping: PAUSED,
  cancelled: CANCELLED,
  pruned: CANCELLED,
  missed: PAUSED,
  overlapped: PAUSED,
  stopped: OFF,
  archived: OFF,
  inactive: OFF,
};

export function useStatusLabel(): (status: string) => string {
  const { t } = useLingui();
  const labels: Record<string, string> = {
    pending: t`Waiting`,
    created: t`New`,
    draft: t`Draft`,
    uploaded: t`Uploaded`,
    running: t`Running`,
    processing: t`Processing`,
    uploading: t`Uploading`,
    starting: t`Starting`,
    updating: t`Updating`,
    restarting: t`Restarting`,
    completed: t`Completed`,
    ready: t`Ready`,
    active: t`Active`,
    succeeded: t`Succeeded`,
    delivered: t`Delivered`,
    submitted: t`Submitted`,
    passed: t`Met`,
    not_passed: t`Not met`,
    resuming: t`Resuming`,
    refused: t`Refused`,
    pruned: t`Halted early`,
    missed: t`Missed`,
    overlapped: t`Still running, skipped`,
    failed: t`Failed`,
    crashed: t`Crashed`,
    lost: t`Lost`,
    paused: t`Paused`,
    cancelling: t`Cancelling`,
    cordoned: t`Cordoned`,
    draining: t`Draining`,
    stopping: t`Stopping`,
    cancelled: t`Cancelled`,
    stopped: t`Stopped`,
    archived: t`Archived`,
    inactive: t`Deactivated`,
  };
  return (status) => labels[status] ?? status;
}

/** Show a state as icon and word; the colour is never the only sign. */
export function Status({ status, label }: { status: string; label?: string }) {
  const name = useStatusLabel();
  const { tone, icon: Icon } = LOOKS[status] ?? PENDING;
  return (
    <span className={classes.status} data-tone={tone} data-status={status}>
      <Icon size={15} aria-hidden className={tone === "running" ? classes.turning : undefined} />
      {label ?? name(status)}
    </span>
  );
}
