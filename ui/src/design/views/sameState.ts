/** What the address of a list holds. */
export type ListState = object;

/** Return the state without what belongs to the moment, not to a view. */
export function savedState(search: ListState): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(search).filter(([key, value]) => key !== "preview" && value !== undefined),
  );
}

/** Return whether two states show the same list, in whatever order their parts stand. */
export function sameState(one: ListState, other: ListState): boolean {
  return text(one) === text(other);
}

function text(state: ListState): string {
  return JSON.stringify(
    Object.entries(savedState(state)).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  );
}
