export interface ProjectListSearch {
  q?: string;
  status?: "active" | "archived";
  /** The form for a new project is open. */
  create?: true;
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readProjectList(search: Record<string, unknown>): ProjectListSearch {
  const status =
    search.status === "active" || search.status === "archived" ? search.status : undefined;
  return {
    q: typeof search.q === "string" && search.q ? search.q : undefined,
    status,
    create: search.create === true ? true : undefined,
  };
}

const TABS = [
  "general",
  "members",
  "usage",
  "gate",
  "webhooks",
  "secrets",
  "retention",
  "bin",
] as const;
export type SettingsTab = (typeof TABS)[number];

export interface SettingsSearch {
  tab?: SettingsTab;
  /** The webhook that is shown beside the list. */
  webhook?: string;
}

export function readSettings(search: Record<string, unknown>): SettingsSearch {
  return {
    tab: TABS.find((tab) => tab === search.tab),
    webhook: typeof search.webhook === "string" ? search.webhook : undefined,
  };
}
