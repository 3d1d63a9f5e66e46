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

export type SettingsTab = "general" | "members" | "usage";

export function readSettings(search: Record<string, unknown>): { tab?: SettingsTab } {
  const { tab } = search;
  return tab === "members" || tab === "usage" || tab === "general" ? { tab } : {};
}
