import type { InboxFilter } from "@/api/inbox";

export interface InboxSearch extends InboxFilter {
  tab?: "preferences";
  /** The notification that is shown beside the list. */
  item?: string;
}

/** Read the filters of the inbox from the address; what is not understood is left out. */
export function readInbox(search: Record<string, unknown>): InboxSearch {
  return {
    tab: search.tab === "preferences" ? search.tab : undefined,
    unread: search.unread === true ? true : undefined,
    type:
      typeof search.type === "string" && /^[a-z]+:[a-z_]+$/.test(search.type)
        ? (search.type as InboxSearch["type"])
        : undefined,
    item: typeof search.item === "string" ? search.item : undefined,
  };
}
