import { useLingui } from "@lingui/react/macro";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { projectOptions, projectParam, projectsOptions } from "@/api/projects";
import { useCan } from "@/api/session";
import { recentTasksOptions } from "@/api/tasks";
import { openShortcutHelp } from "../ShortcutHelp";
import { useExisting } from "../shell/routesPresent";
import { usePlatformSections, useProjectSections } from "../shell/sections";
import { matches } from "./match";

export interface Entry {
  key: string;
  label: string;
  kind: string;
  to?: string;
  run?: () => void;
}

const LIMIT = 30;

/** Return what the palette offers for a search, the best first. */
export function useEntries(query: string, project: string | undefined): Entry[] {
  const { t } = useLingui();
  const can = useCan();
  const existing = useExisting();
  const [search] = useDebouncedValue(query.trim(), 120);
  const projects = useQuery(projectsOptions(search)).data?.items ?? [];
  const current = useQuery({ ...projectOptions(project ?? ""), enabled: project !== undefined });
  const uuid = current.data?.[0]?.uuid;
  const tasks = useQuery({
    ...recentTasksOptions(uuid ?? "", {}, 50),
    enabled: uuid !== undefined,
  });
  const base = project ? `/p/${encodeURIComponent(project)}` : "";
  const inProject = existing(useProjectSections(), "/p/$project/");
  const onPlatform = existing(usePlatformSections(), "");

  const entries: Entry[] = [
    ...(project ? inProject : []).map(({ path, label }) => ({
      key: `page:${path}`,
      label,
      kind: t`Page`,
      to: `${base}/${path}`,
    })),
    ...onPlatform
      .filter(({ permission }) => !permission || can(permission))
      .map(({ path, label }) => ({ key: path, label, kind: t`Page`, to: path })),
    ...projects.map((item) => ({
      key: item.uuid,
      label: item.name,
      kind: t`Project`,
      to: `/p/${encodeURIComponent(projectParam(item))}`,
    })),
    ...(tasks.data?.items ?? []).map((task) => ({
      key: task.uuid,
      label: task.name,
      kind: t`Task`,
      to: `${base}/tasks/${task.uuid}`,
    })),
    { key: "shortcuts", label: t`Keyboard shortcuts`, kind: t`Action`, run: openShortcutHelp },
  ];
  return entries.filter(({ label }) => matches(label, query)).slice(0, LIMIT);
}
