import { useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { IconTimeline } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type Run, useRuns } from "@/api/experiments";
import { useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ButtonLink } from "@/design/links";
import { PreviewDrawer } from "@/design/preview/PreviewDrawer";
import { DataTable } from "@/design/table/DataTable";
import { useRunColumns } from "./columns";
import { knownPaths } from "./figures";
import { filterFault, ListControls, readOrder, writeOrder } from "./ListControls";
import { type ListSearch, MOST } from "./search";
import { useLiveRuns } from "./useLiveRuns";

interface Props {
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
}

const NONE: Run[] = [];

/** What a filter can use beside metrics and settings. */
const FIELDS = ["name", "status", "experiment", "tags", "author", "created"];

/** All runs of the project: trainings, and runs that execute elsewhere. */
export function RunTable({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const navigate = useNavigate();
  const list = useRuns(project.uuid, { filter: search.filter, sort: search.sort });
  const rows = list.data?.pages.flatMap((page) => page.items);
  const columns = useRunColumns(rows ?? NONE);
  useLiveRuns(rows ?? NONE);
  return (
    <>
      <ListControls
        list="runs"
        search={search}
        onSearch={onSearch}
        fields={[...FIELDS, ...knownPaths(rows ?? NONE)]}
        columns={columns}
        error={list.error}
      />
      {!filterFault(list.error) && (
        <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      )}
      {!list.error && (
        <DataTable
          label={t`Runs`}
          columns={columns}
          shown={search.columns}
          rows={rows}
          rowKey={(row) => row.uuid}
          onPeek={(row) => onSearch({ ...search, preview: row.uuid })}
          sort={readOrder(search.sort)}
          onSort={(sort) => onSearch({ ...search, sort: writeOrder(sort) })}
          onOpen={(row) =>
            void navigate({
              to: "/p/$project/tasks/$task",
              params: { project: param, task: row.uuid },
            })
          }
          bulk={(chosen) =>
            chosen.length <= MOST && (
              <ButtonLink
                to="/p/$project/experiments/compare"
                params={{ project: param }}
                search={{ run: chosen.map((row) => row.uuid) }}
              >
                {t`Compare`}
              </ButtonLink>
            )
          }
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconTimeline size={32} stroke={1.5} />}
              title={search.filter ? t`No run matches` : t`No runs yet`}
              action={
                search.filter && (
                  <Button
                    variant="default"
                    onClick={() => onSearch({ view: "runs", columns: search.columns })}
                  >
                    {t`Clear the filters`}
                  </Button>
                )
              }
            >
              {t`A run is one training, or a program elsewhere that reports its figures here with client.run().`}
            </EmptyState>
          }
        />
      )}
      <PreviewDrawer
        kind="task"
        uuid={search.preview}
        onClose={() => onSearch({ ...search, preview: undefined })}
      />
    </>
  );
}
