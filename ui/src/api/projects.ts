import {
  queryOptions,
  useMutation,
  useQuery,
  useQueryClient,
  useSuspenseQuery,
} from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { $api, api } from "./client";
import { ifMatch } from "./etags";
import { covers } from "./permissions";
import { ProblemError } from "./problem";
import { allBut } from "./query";
import type { Project, Schema } from "./types";

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** Return what stands for a project in addresses: its name where that is plain, else its uuid. */
export function projectParam(project: { name: string; uuid: string }): string {
  return /^[\w.-]+$/u.test(project.name) && !UUID.test(project.name) ? project.name : project.uuid;
}

/** The projects that a name or uuid in an address may mean; more than one if names are equal. */
async function findProjects(param: string): Promise<Project[]> {
  if (UUID.test(param)) {
    const { data } = await api.GET("/api/v1/projects/{project}", {
      params: { path: { project: param } },
    });
    return data ? [data] : [];
  }
  const { data } = await api.GET("/api/v1/projects", {
    params: { query: { name: param, limit: 500 } },
  });
  return data?.items.filter((project) => project.name === param) ?? [];
}

export const projectOptions = (param: string) =>
  queryOptions({
    queryKey: ["project", param],
    queryFn: async () => {
      const found = await findProjects(param);
      if (found.length === 0) throw missing(param);
      return found;
    },
    staleTime: 30_000,
  });

function missing(param: string): ProblemError {
  return new ProblemError({
    type: "about:blank",
    title: "Not found",
    status: 404,
    code: "resource.not_found",
    detail: param,
    instance: `/p/${param}`,
  });
}

export const projectsOptions = (search = "", status?: Schema<"ProjectStatus">) =>
  $api.queryOptions("get", "/api/v1/projects", {
    params: {
      query: { limit: 200, ...(search ? { name: search } : {}), ...(status ? { status } : {}) },
    },
  });

const projectRoute = getRouteApi("/_app/p/$project");

/** Return the project of the page. */
export function useProject(): Project {
  const { project } = projectRoute.useParams();
  const found = useSuspenseQuery(projectOptions(project)).data;
  return found[0] as Project;
}

/** Return the name or uuid by which the address calls the project, for links within it. */
export function useProjectParam(): string {
  return projectRoute.useParams().project;
}

/** What the user may do in a project. */
export const ownAccessOptions = (project: string) =>
  $api.queryOptions(
    "get",
    "/api/v1/projects/{project}/access/me",
    { params: { path: { project } } },
    { staleTime: 30_000 },
  );

/** Return whether the access to a project covers a permission. */
export function holds(access: Schema<"AccessOut">, permission: string): boolean {
  const held = access.permissions.map((entry) => entry.permission);
  return covers(held, permission);
}

/** Return whether the user holds a permission in the project of the page. */
export function useCanHere(): (permission: string) => boolean {
  const project = useProject();
  const access = useSuspenseQuery(ownAccessOptions(project.uuid)).data;
  const writable = project.status === "active";
  return (permission) => holds(access, permission) && (writable || !permission.endsWith(":write"));
}

/**
 * Return whether the user holds a permission in a project, for what stands around pages.
 *
 * Until that is known, and without a project, nothing is held.
 */
export function useCanIn(project: string | undefined): (permission: string) => boolean {
  const access = useQuery({
    ...ownAccessOptions(project ?? ""),
    enabled: project !== undefined,
  }).data;
  return (permission) => access !== undefined && holds(access, permission);
}

export const useAccess = (project: string, user: string, enabled: boolean) =>
  $api.useQuery(
    "get",
    "/api/v1/projects/{project}/access",
    { params: { path: { project }, query: { user } } },
    { enabled },
  );

export const membersOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/members", {
    params: { path: { project }, query: { limit: 500 } },
  });

export const projectInvitationsOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/invitations", {
    params: { path: { project }, query: { limit: 200 } },
  });

export const usageOptions = (project: string) =>
  $api.queryOptions("get", "/api/v1/projects/{project}/usage", { params: { path: { project } } });

/** Return a function that marks everything of projects as old. */
function useRefreshProjects(): () => Promise<void> {
  const queries = useQueryClient();
  return async () => {
    await queries.invalidateQueries({ queryKey: ["project"] });
    await queries.invalidateQueries({
      predicate: ({ queryKey }) => String(queryKey[1]).startsWith("/api/v1/projects"),
    });
  };
}

export function useCreateProject() {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: async (body: Schema<"ProjectIn">) => {
      const { data } = await api.POST("/api/v1/projects", { body });
      return data as Project;
    },
    onSuccess: refresh,
  });
}

export function useChangeProject(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: (body: Schema<"ProjectPatch">) =>
      api.PATCH("/api/v1/projects/{project}", {
        params: { path: { project }, header: ifMatch() },
        body,
      }),
    onSuccess: refresh,
  });
}

export function useArchiveProject(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: (archive: boolean) =>
      api.POST(
        archive ? "/api/v1/projects/{project}/archive" : "/api/v1/projects/{project}/unarchive",
        { params: { path: { project } } },
      ),
    onSuccess: refresh,
  });
}

export function useDeleteProject(project: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => api.DELETE("/api/v1/projects/{project}", { params: { path: { project } } }),
    onSuccess: () => queries.invalidateQueries({ predicate: allBut(project, () => true) }),
  });
}

export function useSetMember(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: ({ user, role }: { user: string; role: string }) =>
      api.PUT("/api/v1/projects/{project}/members/{user}", {
        params: { path: { project, user } },
        body: { role },
      }),
    onSuccess: refresh,
  });
}

export function useRemoveMember(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: (user: string) =>
      api.DELETE("/api/v1/projects/{project}/members/{user}", {
        params: { path: { project, user } },
      }),
    onSuccess: refresh,
  });
}

export function useTransferProject(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: (body: Schema<"TransferIn">) =>
      api.POST("/api/v1/projects/{project}/transfer", { params: { path: { project } }, body }),
    onSuccess: refresh,
  });
}

export function useLeaveProject(project: string) {
  const refresh = useRefreshProjects();
  return useMutation({
    mutationFn: () =>
      api.POST("/api/v1/projects/{project}/leave", { params: { path: { project } } }),
    onSuccess: refresh,
  });
}
