import { useRouter } from "@tanstack/react-router";
import type { Section } from "./sections";

/** Return a filter that keeps the sections whose page exists in this build. */
export function useExisting(): (sections: Section[], prefix: string) => Section[] {
  const router = useRouter();
  const paths = new Set(Object.keys(router.routesByPath).map((path) => path.replace(/\/$/, "")));
  return (sections, prefix) =>
    sections.filter(({ path }) => paths.has(`${prefix}${path}`.replace(/\/$/, "")));
}
