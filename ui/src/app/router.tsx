import { createRouter } from "@tanstack/react-router";
import { queryClient } from "@/api/query";
import { PageSkeleton } from "@/design/Skeletons";
import { routeTree } from "@/routeTree.gen";
import { NotFound, RouteError } from "./RouteError";

export const router = createRouter({
  routeTree,
  context: { queries: queryClient },
  // Pages and their data are fetched when the pointer rests on a link.
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  // A skeleton delays a page that is ready soon: React shows it for 300 ms at least, and the router
  // by default for 500 ms.
  defaultPendingMs: 400,
  defaultPendingMinMs: 0,
  defaultPendingComponent: PageSkeleton,
  defaultErrorComponent: RouteError,
  defaultNotFoundComponent: NotFound,
  scrollRestoration: true,
  scrollToTopSelectors: ["#main"],
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
