import { useQuery } from "@tanstack/react-query";
import { projectOptions, useCanIn } from "@/api/projects";
import { useCan } from "@/api/session";
import { useExisting } from "./routesPresent";
import { type Section, usePlatformSections, useProjectSections } from "./sections";

/** Return the pages of the project that the user may open; none without a project. */
export function useSectionsHere(project: string | undefined): Section[] {
  const existing = useExisting();
  const sections = existing(useProjectSections(), "/p/$project/");
  const current = useQuery({ ...projectOptions(project ?? ""), enabled: project !== undefined });
  const can = useCanIn(project === undefined ? undefined : current.data?.[0]?.uuid);
  if (project === undefined) return [];
  return sections.filter(({ permission }) => !permission || can(permission));
}

/** Return the pages of the platform that the user may open. */
export function useSectionsOfPlatform(): Section[] {
  const can = useCan();
  const existing = useExisting();
  return existing(usePlatformSections(), "").filter(
    ({ permission }) => !permission || can(permission),
  );
}
