import { useLingui } from "@lingui/react/macro";
import { useNavigate } from "@tanstack/react-router";
import { useMarkAllRead } from "@/api/notifications";
import { useCan, useSignOut } from "@/api/session";
import type { Project } from "@/api/types";
import { LOCALES, type Locale } from "../locale";
import { openShortcutHelp } from "../ShortcutHelp";
import { usePathExists } from "../shell/routesPresent";
import { useChoosePreferences } from "../theme";
import type { Entry } from "./useEntries";

/** Return what can be done from anywhere, as far as the user may do it. */
export function useActions(
  base: string,
  project: Project | undefined,
  canHere: (permission: string) => boolean,
): Entry[] {
  const { t, i18n } = useLingui();
  const can = useCan();
  const exists = usePathExists();
  const navigate = useNavigate();
  const markAll = useMarkAllRead();
  const signOut = useSignOut();
  const { chooseLocale, chooseTheme } = useChoosePreferences(true);
  const kind = t`Action`;
  const writable = project?.status === "active";
  const leading = [
    {
      label: t`Create project`,
      path: "/projects",
      href: "/projects?create=true",
      may: can("projects:write"),
    },
    { label: t`First run, step by step`, path: "/first-run", href: "/first-run", may: true },
    {
      label: t`Members of this project`,
      path: "/p/$project/settings",
      href: `${base}/settings?tab=members`,
      may: canHere("members:read"),
    },
    {
      label: t`Upload a dataset`,
      path: "/p/$project/datasets/new",
      href: `${base}/datasets/new`,
      may: writable && canHere("datasets:write"),
    },
    {
      label: t`Start a training`,
      path: "/p/$project/experiments/new",
      href: `${base}/experiments/new`,
      may: writable && canHere("training:write"),
    },
    {
      label: t`Import a model`,
      path: "/p/$project/models/import",
      href: `${base}/models/import`,
      may: writable && canHere("models:write"),
    },
    {
      label: t`Deploy a model`,
      path: "/p/$project/deployments/new",
      href: `${base}/deployments/new`,
      may: writable && canHere("inference:write"),
    },
  ];
  const leave = () =>
    signOut.mutate(undefined, { onSettled: () => void navigate({ to: "/sign-in" }) });
  const doing: [string, string, () => void][] = [
    ["copy-link", t`Copy the link of this page`, copyLink],
    ["light", t`Light theme`, () => chooseTheme("light")],
    ["dark", t`Dark theme`, () => chooseTheme("dark")],
    ["system", t`Theme of the system`, () => chooseTheme("system")],
    ...Object.entries(LOCALES)
      .filter(([locale]) => locale !== i18n.locale)
      .map(([locale, name]): [string, string, () => void] => [
        `language:${locale}`,
        t`Language: ${name}`,
        () => void chooseLocale(locale as Locale),
      ]),
    ["read", t`Mark all notifications as read`, () => markAll.mutate()],
    ["shortcuts", t`Keyboard shortcuts`, openShortcutHelp],
    ["sign-out", t`Sign out`, leave],
  ];
  return [
    ...leading
      .filter(({ path, may }) => may && exists(path) && (base !== "" || !path.startsWith("/p/")))
      .map(({ label, href }) => ({ key: `do:${label}`, label, kind, href })),
    ...doing.map(([key, label, run]) => ({ key: `do:${key}`, label, kind, run })),
  ];
}

function copyLink(): void {
  void navigator.clipboard.writeText(window.location.href);
}
