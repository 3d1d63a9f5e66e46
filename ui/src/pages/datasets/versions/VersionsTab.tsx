import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { tagsOptions, useVersions } from "@/api/datasets";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { useOnVisible } from "@/design/table/useOnVisible";
import type { DatasetSearch } from "../search";
import { VersionPicker } from "../VersionPicker";
import { DiffView } from "./DiffView";
import { laneCount, layOut } from "./lanes";
import { VersionRow } from "./VersionRow";
import classes from "./Versions.module.css";

interface Props {
  dataset: Dataset;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

/** The tree of versions with their tags, and what differs between two of them. */
export function VersionsTab({ dataset, search, onSearch }: Props) {
  const { t } = useLingui();
  const list = useVersions(dataset.uuid);
  const tags = useQuery(tagsOptions(dataset.uuid)).data?.items ?? [];
  const versions = list.data?.pages.flatMap((page) => page.items);
  const nodes = useMemo(() => layOut(versions ?? []), [versions]);
  const lanes = laneCount(nodes);
  const sentinel = useOnVisible(() => {
    if (list.hasNextPage && !list.isFetching) void list.fetchNextPage();
  });
  const { before, after } = search;
  const compare = (change: Partial<DatasetSearch>) =>
    onSearch({ ...search, key: undefined, kind: undefined, ...change });
  if (list.error) return <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />;
  if (!versions) return <TableSkeleton />;
  const alone = versions.length === 1 && !list.hasNextPage;
  return (
    <>
      <Group gap="sm" mb="md">
        <Text size="sm">{t`Compare`}</Text>
        <VersionPicker
          dataset={dataset}
          label={t`Earlier version`}
          value={before}
          onChange={(version) => compare({ before: version, after: after ?? dataset.version })}
        />
        <Text size="sm" c="dimmed">
          {t`with`}
        </Text>
        <VersionPicker
          dataset={dataset}
          label={t`Later version`}
          value={after}
          onChange={(version) => compare({ after: version })}
        />
        {(before || after) && (
          <Button
            variant="subtle"
            color="gray"
            onClick={() => compare({ before: undefined, after: undefined })}
          >
            {t`Close the comparison`}
          </Button>
        )}
      </Group>
      {before && after ? (
        <DiffView
          dataset={dataset}
          filter={{ before, after, key: search.key, kind: search.kind }}
          onFilter={(change) => onSearch({ ...search, ...change })}
        />
      ) : (
        <>
          {alone && (
            <Text size="sm" c="dimmed" mb="sm">
              {t`There is one version so far. Every change of rows makes another; none is ever overwritten.`}
            </Text>
          )}
          <ol className={classes.list} aria-label={t`Versions`}>
            {versions.map((version, index) => {
              const node = nodes[index];
              return (
                node && (
                  <VersionRow
                    key={version.uuid}
                    dataset={dataset}
                    version={version}
                    tags={tags.filter((tag) => tag.version === version.version)}
                    node={node}
                    lanes={lanes}
                    onCompare={() =>
                      compare({
                        before: version.parent ?? version.version,
                        after: version.parent ? version.version : dataset.version,
                      })
                    }
                  />
                )
              );
            })}
          </ol>
          {list.hasNextPage && (
            <div ref={sentinel}>
              <TableSkeleton rows={2} />
            </div>
          )}
        </>
      )}
    </>
  );
}
