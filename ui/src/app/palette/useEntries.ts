import { useLingui } from "@lingui/react/macro";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { projectOptions, projectParam, projectsOptions, useCanIn } from "@/api/projects";
import { usePathExists } from "../shell/routesPresent";
import { useSectionsHere, useSectionsOfPlatform } from "../shell/useSections";
import { matches } from "./match";
import { useActions } from "./useActions";
import { useFound } from "./useFound";

export interface Entry {
  key: string;
  label: string;
  kind: string;
  /** The address that the entry leads to. */
  href?: string;
  run?: () => void;
}

const LIMIT = 40;

/** Return what the palette offers for a search: pages, then things, then actions. */
export function useEntries(query: string, project: string | undefined): Entry[] {
  const { t } = useLingui();
  const [search] = useDebouncedValue(query.trim(), 120);
  const projects = useQuery(projectsOptions(search)).data?.items ?? [];
  const current = useQuery({ ...projectOptions(project ?? ""), enabled: project !== undefined });
  const here = project === undefined ? undefined : current.data?.[0];
  const canHere = useCanIn(here?.uuid);
  const base = project ? `/p/${encodeURIComponent(project)}` : "";
  const inProject = useSectionsHere(project);
  const onPlatform = useSectionsOfPlatform();
  const found = useFound(search, here?.uuid, base, canHere);
  const actions = useActions(base, here, canHere);

  const exists = usePathExists();
  const own = [
    { path: "/inbox", label: t`Inbox` },
    { path: "/account", label: t`Account` },
    { path: "/about", label: t`About and health` },
  ].filter(({ path }) => exists(path));

  const entries: Entry[] = [
    ...inProject.map(({ path, label }) => ({
      key: `page:${path}`,
      label,
      kind: t`Page`,
      href: `${base}/${path}`,
    })),
    ...[...onPlatform, ...own].map(({ path, label }) => ({
      key: path,
      label,
      kind: t`Page`,
      href: path,
    })),
    ...projects.map((item) => ({
      key: item.uuid,
      label: item.name,
      kind: t`Project`,
      href: `/p/${encodeURIComponent(projectParam(item))}`,
    })),
    ...found,
    ...actions,
  ];
  return entries.filter(({ label }) => matches(label, query)).slice(0, LIMIT);
}
