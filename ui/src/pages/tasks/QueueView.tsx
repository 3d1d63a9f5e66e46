import { Plural, useLingui } from "@lingui/react/macro";
import { ActionIcon, Text, Title, Tooltip } from "@mantine/core";
import { IconGripVertical, IconListDetails } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type DragEvent, type KeyboardEvent, useState } from "react";
import { useCanHere, useProject } from "@/api/projects";
import { queueOptions, useReorder } from "@/api/queue";
import { refreshTasks } from "@/api/tasks";
import type { Task } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TaskLink, UserName } from "@/design/refs";
import { TableSkeleton } from "@/design/Skeletons";
import { useComplain } from "@/design/useComplain";
import { Num, TimeAgo } from "@/design/values";
import { useLive } from "@/live/live";
import { useTypeLabel } from "./labels";
import classes from "./Queue.module.css";
import { type Line, lines, moved } from "./queue";
import { useReason } from "./useReason";

/** What waits, in the order in which it will start. Rows are dragged to other places. */
export function QueueView() {
  const { t } = useLingui();
  const project = useProject();
  const can = useCanHere();
  const queries = useQueryClient();
  const { data, error, refetch } = useQuery(queueOptions(project.uuid));
  const refresh = () => void refreshTasks(queries);
  useLive(
    ["tasks"],
    (event) => {
      if (event.event === "tasks" || event.event === "resync") refresh();
    },
    refresh,
  );
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton />;
  if (data.items.length === 0)
    return (
      <EmptyState icon={<IconListDetails size={32} stroke={1.5} />} title={t`Nothing waits`}>
        {t`Tasks that can't start yet stand here, each with the reason, and can be put into another order.`}
      </EmptyState>
    );
  const found = lines(data.items);
  return found.map((line) => (
    <section key={line.queue}>
      {found.length > 1 && (
        <Title order={2} mb="sm">
          {line.queue}
        </Title>
      )}
      <QueueLine line={line} project={project.uuid} writable={can("tasks:write")} />
    </section>
  ));
}

interface LineProps {
  line: Line;
  project: string;
  writable: boolean;
}

function QueueLine({ line, project, writable }: LineProps) {
  const { t } = useLingui();
  const complain = useComplain();
  const reorder = useReorder(project);
  const [dragged, setDragged] = useState<number | null>(null);
  const [over, setOver] = useState<number | null>(null);
  const [said, setSaid] = useState("");
  const { tasks } = line;
  const place = (from: number, to: number) => {
    const task = tasks[from];
    if (!task || from === to || to < 0 || to >= tasks.length) return;
    const order = moved(tasks, from, to).map(({ uuid }) => uuid);
    reorder.mutate({ task: task.uuid, order }, { onError: complain });
    setSaid(t`${task.name} is now at place ${to + 1} of ${tasks.length}.`);
  };
  const end = () => {
    setDragged(null);
    setOver(null);
  };
  const drop = () => {
    // The line shows before which row it goes; what stood above it moves up by one.
    if (dragged !== null && over !== null) place(dragged, over > dragged ? over - 1 : over);
    end();
  };
  return (
    <>
      {writable && tasks.length > 1 && (
        <Text size="sm" c="dimmed" mb="sm">
          {t`Drag a row by its handle, or move it with the arrow keys. Only tasks of this project change places.`}
        </Text>
      )}
      <ul className={classes.line} aria-label={t`Queue`}>
        {tasks.map((task, index) => (
          <QueueRow
            key={task.uuid}
            task={task}
            writable={writable}
            dragged={index === dragged}
            over={index === over && dragged !== null}
            onDragStart={() => setDragged(index)}
            onDragOver={(event) => {
              if (dragged === null) return;
              event.preventDefault();
              const { top, height } = event.currentTarget.getBoundingClientRect();
              setOver(event.clientY > top + height / 2 ? index + 1 : index);
            }}
            onDrop={drop}
            onEnd={end}
            onMove={(by) => place(index, index + by)}
          />
        ))}
      </ul>
      <Text size="sm" c="dimmed">
        <Plural value={tasks.length} one="# task waits." other="# tasks wait." />
      </Text>
      <div className="visually-hidden" aria-live="polite">
        {said}
      </div>
    </>
  );
}

interface RowProps {
  task: Task;
  writable: boolean;
  dragged: boolean;
  over: boolean;
  onDragStart: () => void;
  onDragOver: (event: DragEvent) => void;
  onDrop: () => void;
  /** Called after a drop, and when the row was let go elsewhere. */
  onEnd: () => void;
  /** Moves the row by this many places. */
  onMove: (by: number) => void;
}

function QueueRow({ task, writable, onMove, ...drag }: RowProps) {
  const { t } = useLingui();
  const typeLabel = useTypeLabel();
  const reason = useReason();
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    onMove(event.key === "ArrowUp" ? -1 : 1);
  };
  return (
    <li
      className={classes.row}
      data-dragged={drag.dragged || undefined}
      data-over={drag.over || undefined}
      draggable={writable}
      onDragStart={(event) => {
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", task.name);
        drag.onDragStart();
      }}
      onDragOver={drag.onDragOver}
      onDrop={(event) => {
        event.preventDefault();
        drag.onDrop();
      }}
      onDragEnd={drag.onEnd}
    >
      {writable ? (
        <Tooltip label={t`Drag, or press the arrow keys`}>
          <ActionIcon
            className={classes.handle}
            aria-label={t`Move ${task.name}`}
            onKeyDown={onKeyDown}
          >
            <IconGripVertical size={16} />
          </ActionIcon>
        </Tooltip>
      ) : (
        <span />
      )}
      <span className={classes.number}>
        <Num value={task.position} />
      </span>
      <span className="truncate">
        <TaskLink uuid={task.uuid} name={task.name} />
      </span>
      <span>{typeLabel(task.type)}</span>
      <span className="secondary">{reason(task)}</span>
      <span>
        {t`Priority`} {task.priority}
      </span>
      <span className="secondary">
        <UserName user={task.author} /> · <TimeAgo time={task.created_at} />
      </span>
    </li>
  );
}
