import { useQuery } from "@tanstack/react-query";
import { projectBinOptions, useHoldsEverything } from "@/api/projectSettings";
import { useCanHere } from "@/api/projects";
import type { Project } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { BinTable } from "./BinTable";

/** The datasets and models that were deleted in a project. */
export function ProjectBin({ project }: { project: Project }) {
  const can = useCanHere();
  const full = useHoldsEverything(project);
  const { data, error, refetch } = useQuery(projectBinOptions(project.uuid));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <BinTable
      items={data?.items}
      project={project.uuid}
      canRestore={(item) =>
        can("projects:write") && can(item.kind === "model" ? "models:write" : "datasets:write")
      }
      canPurge={full}
    />
  );
}
