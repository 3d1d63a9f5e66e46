import type { Task } from "@/api/types";

export interface Line {
  /** Selector of the workers that take these tasks. */
  queue: string;
  tasks: Task[];
}

/** Return the waiting tasks of each queue, the next one first. */
export function lines(tasks: readonly Task[]): Line[] {
  const queues = new Map<string, Task[]>();
  for (const task of tasks) queues.set(task.queue, [...(queues.get(task.queue) ?? []), task]);
  return [...queues]
    .map(([queue, members]) => ({ queue, tasks: members.sort(byPlace) }))
    .sort((a, b) => a.queue.localeCompare(b.queue));
}

function byPlace(a: Task, b: Task): number {
  const far = Number.MAX_SAFE_INTEGER;
  return (a.position ?? far) - (b.position ?? far) || a.created_at.localeCompare(b.created_at);
}

/** Return the list with the element at `from` moved to the place `to`. */
export function moved<Item>(list: readonly Item[], from: number, to: number): Item[] {
  const rest = list.filter((_, index) => index !== from);
  const item = list[from];
  return item === undefined ? rest : [...rest.slice(0, to), item, ...rest.slice(to)];
}
