import { Plural, useLingui } from "@lingui/react/macro";
import { Badge, Button, Group, SegmentedControl, TextInput } from "@mantine/core";
import { IconFolderPlus, IconFolders, IconSearch, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { projectParam, projectsOptions } from "@/api/projects";
import { useCan } from "@/api/session";
import type { Project } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";
import { CreateProject } from "./CreateProject";
import type { ProjectListSearch } from "./search";

interface Props {
  search: ProjectListSearch;
  onSearch: (search: ProjectListSearch) => void;
}

/** All projects that the user may see. */
export function ProjectListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const mayCreate = useCan()("projects:write");
  const { data, error, refetch } = useQuery(projectsOptions(search.q, search.status));
  const columns: Column<Project>[] = [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (project) => (
        <AnchorLink
          to="/p/$project"
          params={{ project: projectParam(project) }}
          c="inherit"
          fw={500}
        >
          {project.name}
        </AnchorLink>
      ),
    },
    { id: "description", header: t`Description`, cell: (project) => project.description },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (project) => <Status status={project.status} />,
    },
    {
      id: "owner",
      header: t`Owner`,
      width: 140,
      cell: (project) => <UserName user={project.owner} />,
    },
    {
      id: "tags",
      header: t`Tags`,
      optional: true,
      cell: (project) => project.tags.map((tag) => <Badge key={String(tag)}>{String(tag)}</Badge>),
    },
    {
      id: "created",
      header: t`Created`,
      width: 130,
      cell: (project) => <TimeAgo time={project.created_at} />,
    },
  ];
  const create = mayCreate && (
    <Button
      leftSection={<IconFolderPlus size={16} />}
      onClick={() => onSearch({ ...search, create: true })}
    >
      {t`Create project`}
    </Button>
  );
  const count = data?.items.length ?? 0;
  return (
    <>
      <PageHeader
        title={t`Projects`}
        aside={
          data && (
            <span className="secondary">
              <Plural value={count} one="# project" other="# projects" />
            </span>
          )
        }
        actions={
          <>
            <ButtonLink to="/bin" variant="default" leftSection={<IconTrash size={16} />}>
              {t`Deleted projects`}
            </ButtonLink>
            {create}
          </>
        }
      />
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={280}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Filter by name`}
          aria-label={t`Filter by name`}
          value={search.q ?? ""}
          onChange={(event) => onSearch({ ...search, q: event.currentTarget.value || undefined })}
        />
        <SegmentedControl
          size="xs"
          aria-label={t`Status`}
          value={search.status ?? "all"}
          onChange={(value) =>
            onSearch({ ...search, status: value === "all" ? undefined : (value as "active") })
          }
          data={[
            { value: "all", label: t`All` },
            { value: "active", label: t`Active` },
            { value: "archived", label: t`Archived` },
          ]}
        />
      </Group>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Projects`}
          columns={columns}
          rows={data?.items}
          rowKey={(project) => project.uuid}
          onOpen={(project) =>
            void navigate({ to: "/p/$project", params: { project: projectParam(project) } })
          }
          empty={
            <EmptyState
              icon={<IconFolders size={32} stroke={1.5} />}
              title={search.q ? t`No project of this name` : t`No projects yet`}
              action={create}
            >
              {t`A project keeps the datasets, trainings and models of one purpose together, and decides who may see them.`}
            </EmptyState>
          }
        />
      )}
      <CreateProject
        opened={mayCreate && search.create === true}
        onClose={() => onSearch({ ...search, create: undefined })}
      />
    </>
  );
}
