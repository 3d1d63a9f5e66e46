import { MutationCache, type Query, QueryCache, QueryClient } from "@tanstack/react-query";
import { SESSION } from "./client";
import { codeOf, isTemporary, ProblemError } from "./problem";

type Handler = () => void;
let onSignedOut: Handler = () => {};

/** Set what happens when the API says that the session has ended. */
export function setSignedOutHandler(handler: Handler): void {
  onSignedOut = handler;
}

function watch(error: unknown): void {
  if (
    error instanceof ProblemError &&
    error.status === 401 &&
    codeOf(error) === "auth.unauthenticated"
  )
    onSignedOut();
}

/** A session that was never there has not ended: its route leads to the sign-in by itself. */
function watchQuery(error: unknown, query: Query<unknown, unknown>): void {
  const neverSignedIn = query.queryKey[1] === SESSION && query.state.data === undefined;
  if (!neverSignedIn) watch(error);
}

/**
 * Leave out what was read of a deleted thing from the queries that are read again.
 *
 * Its page is still open for a moment, and would only learn that nothing is there.
 */
export function allBut(
  uuid: string,
  concerned: (query: Query) => boolean,
): (query: Query) => boolean {
  return (query) => concerned(query) && !query.queryHash.includes(uuid);
}

/** The cache of everything that was read. Pages show it immediately and refresh it. */
export const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: watchQuery }),
  mutationCache: new MutationCache({ onError: watch }),
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      gcTime: 10 * 60_000,
      // A restart of the API takes seconds; other errors do not go away by themselves.
      retry: (failures, error) => isTemporary(error) && failures < 8,
      retryDelay: (failures) => Math.min(500 * 2 ** failures, 8_000),
      refetchOnWindowFocus: true,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});
