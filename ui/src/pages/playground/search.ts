export const MOST = 3;

export interface PlaygroundSearch {
  /** Who answers, at most three: uuids of deployments, with `:base` for their base models. */
  with?: string[];
}

/** Read from the address who answers; what is not understood is left out. */
export function readPlayground(search: Record<string, unknown>): PlaygroundSearch {
  const given = Array.isArray(search.with) ? search.with : [search.with];
  const names = given.filter((name): name is string => typeof name === "string" && name !== "");
  return { with: names.length > 0 ? [...new Set(names)].slice(0, MOST) : undefined };
}
