import { useLingui } from "@lingui/react/macro";
import { Button, Switch } from "@mantine/core";
import { IconFlask } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useArchiveExperiments, useExperiments } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ButtonLink } from "@/design/links";
import { PreviewDrawer } from "@/design/preview/PreviewDrawer";
import { DataTable } from "@/design/table/DataTable";
import { useComplain } from "@/design/useComplain";
import { useExperimentColumns } from "./columns";
import { knownPaths } from "./figures";
import { filterFault, ListControls, readOrder, writeOrder } from "./ListControls";
import { type ListSearch, MOST } from "./search";

interface Props {
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
}

const NONE: Experiment[] = [];

/** What a filter can use beside metrics and settings. */
const FIELDS = ["name", "tags", "status", "base_model", "author", "created", "archived"];

export function ExperimentTable({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const list = useExperiments(project.uuid, {
    filter: search.filter,
    sort: search.sort,
    archived: search.archived,
  });
  const rows = list.data?.pages.flatMap((page) => page.items);
  const columns = useExperimentColumns(rows ?? NONE);
  const filtered = Boolean(search.filter || search.archived);
  return (
    <>
      <ListControls
        list="experiments"
        search={search}
        onSearch={onSearch}
        fields={[...FIELDS, ...knownPaths(rows ?? NONE)]}
        columns={columns}
        error={list.error}
      >
        <Switch
          size="xs"
          mt={6}
          label={t`Archive`}
          checked={search.archived ?? false}
          onChange={(event) =>
            onSearch({ ...search, archived: event.currentTarget.checked || undefined })
          }
        />
      </ListControls>
      {!filterFault(list.error) && (
        <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      )}
      {!list.error && (
        <DataTable
          label={t`Experiments`}
          columns={columns}
          shown={search.columns}
          rows={rows}
          rowKey={(row) => row.uuid}
          onPeek={(row) => onSearch({ ...search, preview: row.uuid })}
          sort={readOrder(search.sort)}
          onSort={(sort) => onSearch({ ...search, sort: writeOrder(sort) })}
          onOpen={(row) =>
            void navigate({
              to: "/p/$project/experiments/$experiment",
              params: { project: param, experiment: row.uuid },
            })
          }
          bulk={(chosen, clear) => <Bulk experiments={chosen} onDone={clear} />}
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconFlask size={32} stroke={1.5} />}
              title={filtered ? t`No experiment matches` : t`No experiments yet`}
              action={
                filtered ? (
                  <Button variant="default" onClick={() => onSearch({ columns: search.columns })}>
                    {t`Clear the filters`}
                  </Button>
                ) : (
                  can("training:write") && (
                    <ButtonLink to="/p/$project/experiments/new" params={{ project: param }}>
                      {t`New training`}
                    </ButtonLink>
                  )
                )
              }
            >
              {filtered
                ? t`Loosen the filter to see other experiments of this project.`
                : t`An experiment fine-tunes a base model on a dataset. You choose the data and the model; sensible settings are filled in.`}
            </EmptyState>
          }
        />
      )}
      <PreviewDrawer
        kind="experiment"
        uuid={search.preview}
        onClose={() => onSearch({ ...search, preview: undefined })}
      />
    </>
  );
}

/** What can be done with the selected experiments. */
function Bulk({ experiments, onDone }: { experiments: Experiment[]; onDone: () => void }) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const archive = useArchiveExperiments();
  const complain = useComplain();
  const archived = experiments.every((row) => row.archived_at !== null);
  const run = (wanted: boolean) =>
    archive.mutate(
      { experiments: experiments.map((row) => row.uuid), archived: wanted },
      {
        onSuccess: onDone,
        onError: complain,
      },
    );
  return (
    <>
      {experiments.length > 1 && experiments.length <= MOST && (
        <ButtonLink
          to="/p/$project/experiments/compare"
          params={{ project }}
          search={{ experiment: experiments.map((row) => row.uuid) }}
        >
          {t`Compare`}
        </ButtonLink>
      )}
      {can("training:write") && (
        <Button variant="default" loading={archive.isPending} onClick={() => run(!archived)}>
          {archived ? t`Take out of the archive` : t`Archive`}
        </Button>
      )}
    </>
  );
}
