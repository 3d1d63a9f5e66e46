import { i18n } from "@lingui/core";
import { I18nProvider } from "@lingui/react";
import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queryClient, setSignedOutHandler } from "@/api/query";
import { sessionOptions } from "@/api/session";
import { activateLocale, preferredLocale } from "@/app/locale";
import { router } from "@/app/router";
import { cssVariables, theme } from "@/design/theme";
import { setLiveSignedOutHandler } from "@/live/live";
import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "@/design/theme.css";

const nonce = document.querySelector<HTMLMetaElement>("meta[name=csp-nonce]")?.content ?? "";
setNonce(nonce);

// A new build has replaced the file that an open page wants next: load the page of that build.
window.addEventListener("vite:preloadError", (event) => {
  const last = Number(sessionStorage.getItem("reloaded") ?? 0);
  if (Date.now() - last < 10_000) return;
  sessionStorage.setItem("reloaded", String(Date.now()));
  event.preventDefault();
  window.location.reload();
});

function signIn(): void {
  // Who has no session is led to the form by the routes. Loading them again then would never end:
  // each load asks for the session, and is refused.
  if (!queryClient.getQueryData(sessionOptions.queryKey)) return;
  queryClient.removeQueries({ queryKey: sessionOptions.queryKey });
  void router.invalidate();
}
setSignedOutHandler(signIn);
setLiveSignedOutHandler(signIn);

// Each page waits for both; the texts come with a file of their own.
void queryClient.prefetchQuery(sessionOptions);
// The router would fetch the page's code only once the session is known.
const [routes] = router.getMatchedRoutes(window.location.pathname);
for (const route of routes) void router.loadRouteChunk(route)?.catch(() => {});
await activateLocale(preferredLocale());

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <MantineProvider
        theme={theme}
        cssVariablesResolver={cssVariables}
        defaultColorScheme="auto"
        getStyleNonce={() => nonce}
      >
        <I18nProvider i18n={i18n}>
          <QueryClientProvider client={queryClient}>
            <Notifications position="bottom-right" />
            <RouterProvider router={router} />
          </QueryClientProvider>
        </I18nProvider>
      </MantineProvider>
    </StrictMode>,
  );
