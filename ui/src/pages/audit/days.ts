const DAY = 86_400_000;
const DAYS = { "1d": 1, "7d": 7, "30d": 30 } as const;

/** Return the beginning of a range that ends now, at a whole minute. */
export function sinceOf(range: keyof typeof DAYS | undefined, now: number): string | undefined {
  if (!range) return undefined;
  return new Date(Math.floor((now - DAYS[range] * DAY) / 60_000) * 60_000).toISOString();
}

/** Return the entries of each local day, in their order. */
export function byDay<Entry extends { created_at: string }>(
  entries: readonly Entry[],
): [day: string, entries: Entry[]][] {
  const days = new Map<string, Entry[]>();
  for (const entry of entries) {
    const day = new Date(entry.created_at).toDateString();
    days.set(day, [...(days.get(day) ?? []), entry]);
  }
  return [...days];
}
