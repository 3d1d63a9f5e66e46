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
  defaultPendingMs: 150,
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
