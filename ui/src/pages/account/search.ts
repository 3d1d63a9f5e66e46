const TABS = ["profile", "security", "sessions", "keys", "secrets"] as const;
export type AccountTab = (typeof TABS)[number];

export interface AccountSearch {
  tab?: AccountTab;
  /** Show keys that were revoked, too. */
  revoked?: boolean;
}

export function readAccount(search: Record<string, unknown>): AccountSearch {
  return {
    tab: TABS.find((tab) => tab === search.tab),
    revoked: search.revoked === true ? true : undefined,
  };
}
