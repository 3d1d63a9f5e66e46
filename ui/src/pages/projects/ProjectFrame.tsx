import { useLingui } from "@lingui/react/macro";
import { Stack } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Outlet } from "@tanstack/react-router";
import { useEffect } from "react";
import { projectOptions, useProjectParam } from "@/api/projects";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { setLiveProject } from "@/live/live";

/** The frame of a project's pages. Where several projects have the name, one of them is chosen. */
export function ProjectFrame() {
  const { t } = useLingui();
  const param = useProjectParam();
  const found = useSuspenseQuery(projectOptions(param)).data;
  const uuid = found[0]?.uuid ?? null;
  useEffect(() => {
    setLiveProject(uuid);
    return () => setLiveProject(null);
  }, [uuid]);
  if (found.length === 1) return <Outlet />;
  return (
    <>
      <PageHeader title={param} lead={t`Several projects have this name. Which one do you mean?`} />
      <Stack gap="sm">
        {found.map((project) => (
          <AnchorLink key={project.uuid} to="/p/$project" params={{ project: project.uuid }}>
            {project.name} · {project.owner?.username} · {project.uuid.slice(0, 8)}
          </AnchorLink>
        ))}
      </Stack>
    </>
  );
}
