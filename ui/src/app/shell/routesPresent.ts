import { useRouter } from "@tanstack/react-router";
import type { Section } from "./sections";

/** Return a filter that keeps the sections whose page exists in this build. */
export function useExisting(): (sections: Section[], prefix: string) => Section[] {
  const router = useRouter();
  const paths = new Set(Object.keys(router.routesByPath).map((path) => path.replace(/\/$/, "")));
  return (sections, prefix) =>
    sections.filter(({ path }) => paths.has(`${prefix}${path}`.replace(/\/$/, "")));
}

/** Return a function that tells whether a page exists; `$` stands for any last parameter. */
export function usePathExists(): (path: string) => boolean {
  const router = useRouter();
  const paths = new Set(
    Object.keys(router.routesByPath).map((path) =>
      path.replace(/\/$/, "").replace(/\/\$[^/]+$/, "/$"),
    ),
  );
  return (path) => paths.has(path) || paths.has(path.replace(/\/$/, ""));
}
