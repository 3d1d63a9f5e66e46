export interface RolesSearch {
  /** The role that is shown beside the matrix; an empty one is being created. */
  role?: string;
}

export function readRoles(search: Record<string, unknown>): RolesSearch {
  return { role: typeof search.role === "string" ? search.role : undefined };
}
