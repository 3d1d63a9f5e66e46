import { useLingui } from "@lingui/react/macro";
import { Button, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { DatasetVersion } from "@/api/datasets";
import { useCanHere } from "@/api/projects";
import { reportOptions } from "@/api/reports";
import type { Dataset } from "@/api/types";
import type { DatasetSearch } from "../search";
import { KeepFound } from "./KeepFound";
import { ReadingView } from "./ReadingView";
import { RowFilterBar } from "./RowFilterBar";
import { RowGrid } from "./RowGrid";
import { RowPane } from "./RowPane";
import classes from "./RowsTab.module.css";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

/** More columns than this are shown only when chosen. */
const MOST_COLUMNS = 30;

/** The rows of a version: a grid to find them, and a view to read them. */
export function RowsTab({ dataset, version, search, onSearch }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const report = useQuery({
    ...reportOptions(dataset.uuid, version.version),
    enabled: version.report !== null,
  }).data;
  const all = version.columns;
  const shown = search.columns
    ? all.filter(({ name }) => search.columns?.includes(name))
    : all.slice(0, MOST_COLUMNS);
  const filter = { search: search.q, where: search.where, finding: search.finding };
  const filtered = Boolean(search.q || search.where || search.finding);
  const open = (row: number | undefined) => onSearch({ ...search, row });
  const empty = (
    <>
      <Text>
        {filtered ? t`No row meets the search and filters.` : t`This version has no rows.`}
      </Text>
      {filtered && (
        <Button
          mt="sm"
          variant="default"
          onClick={() =>
            onSearch({ ...search, q: undefined, where: undefined, finding: undefined })
          }
        >
          {t`Clear them`}
        </Button>
      )}
    </>
  );
  const shared = {
    dataset: dataset.uuid,
    version: version.version,
    total: version.row_count,
    filter,
    empty,
  };
  return (
    <>
      <RowFilterBar
        columns={all}
        total={version.row_count}
        report={report}
        shown={shown.map(({ name }) => name)}
        search={search}
        onSearch={onSearch}
      />
      {search.where && can("datasets:write") && !search.q && !search.finding && (
        <KeepFound dataset={dataset} version={version.version} where={search.where} />
      )}
      {search.view === "read" ? (
        <ReadingView
          {...shared}
          shape={version.shape}
          report={report}
          place={search.row ?? 0}
          onPlace={open}
        />
      ) : (
        <div className={classes.split} data-open={search.row !== undefined || undefined}>
          <RowGrid {...shared} columns={shown} open={search.row} onOpen={open} />
          {search.row !== undefined && (
            <RowPane
              dataset={dataset}
              version={version}
              place={search.row}
              filter={filter}
              report={report}
              onClose={() => open(undefined)}
            />
          )}
        </div>
      )}
    </>
  );
}
