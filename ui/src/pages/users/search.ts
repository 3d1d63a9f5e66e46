import type { UserFilter } from "@/api/users";

export interface UsersSearch extends UserFilter {
  tab?: "invitations";
}

/** Read the filters of the list from the address; what is not understood is left out. */
export function readUsers(search: Record<string, unknown>): UsersSearch {
  return {
    tab: search.tab === "invitations" ? search.tab : undefined,
    q: typeof search.q === "string" && search.q ? search.q : undefined,
    role: typeof search.role === "string" && search.role ? search.role : undefined,
    active: typeof search.active === "boolean" ? search.active : undefined,
  };
}
