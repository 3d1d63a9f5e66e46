export interface DeploymentListSearch {
  q?: string;
  columns?: string[];
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readDeploymentList(search: Record<string, unknown>): DeploymentListSearch {
  return {
    q:
      typeof search.q === "number"
        ? String(search.q)
        : typeof search.q === "string" && search.q
          ? search.q
          : undefined,
    columns: Array.isArray(search.columns)
      ? search.columns.filter((name): name is string => typeof name === "string")
      : undefined,
  };
}

export const TABS = ["endpoint", "log", "settings"] as const;
export type DeploymentTab = (typeof TABS)[number];

export interface DeploymentSearch {
  tab?: DeploymentTab;
  /** The line of the log that the address leads to. */
  line?: string;
}

export function readDeployment(search: Record<string, unknown>): DeploymentSearch {
  const { line } = search;
  return {
    tab: TABS.find((tab) => tab === search.tab),
    line: typeof line === "string" && /^\d+-\d+$/.test(line) ? line : undefined,
  };
}

export interface NewDeploymentSearch {
  /** The model to serve, or with `task:` the training that makes it. */
  model?: string;
}

export function readNewDeployment(search: Record<string, unknown>): NewDeploymentSearch {
  return { model: typeof search.model === "string" && search.model ? search.model : undefined };
}
