import { keepPreviousData } from "@tanstack/react-query";

/** Options of lists that are read page by page. */
export const PAGED = {
  pageParamName: "cursor",
  initialPageParam: null,
  getNextPageParam: (page: { next_cursor: string | null }) => page.next_cursor ?? undefined,
  placeholderData: keepPreviousData,
};
