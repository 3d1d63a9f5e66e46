import { useLingui } from "@lingui/react/macro";
import { Button, Group, Menu, Select } from "@mantine/core";
import { IconDownload, IconRefresh } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useCanHere } from "@/api/projects";
import { type Report, reportHistoryOptions, reportPageAddress } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { formatExact } from "@/design/format";
import type { DatasetSearch } from "../search";
import { VersionPicker } from "../VersionPicker";
import { MakeReport } from "./MakeReport";
import { saveJson } from "./saveJson";

interface Props {
  dataset: Dataset;
  version: string;
  report: Report | undefined;
  search: DatasetSearch;
  onSearch: (search: DatasetSearch) => void;
}

/** Choose the report and what to compare it with, export it, or make it again. */
export function ReportToolbar({ dataset, version, report, search, onSearch }: Props) {
  const { t, i18n } = useLingui();
  const can = useCanHere();
  const [making, setMaking] = useState(false);
  const history = useQuery(reportHistoryOptions(dataset.uuid, version)).data?.items ?? [];
  const earlier = useQuery({
    ...reportHistoryOptions(dataset.uuid, search.since ?? ""),
    enabled: search.since !== undefined,
  }).data?.items;
  const describe = (made: (typeof history)[number]) => ({
    value: made.uuid,
    label: `${formatExact(new Date(made.created_at), i18n.locale)} · ${made.score ?? "–"}`,
  });
  return (
    <Group gap="sm" mb="md">
      {history.length > 1 && (
        <Select
          size="xs"
          w={250}
          aria-label={t`Report`}
          placeholder={t`Newest report`}
          clearable
          allowDeselect
          value={search.made ?? null}
          data={history.map(describe)}
          onChange={(made) => onSearch({ ...search, made: made ?? undefined })}
        />
      )}
      <VersionPicker
        dataset={dataset}
        label={t`Compare with`}
        value={search.since}
        onChange={(since) => onSearch({ ...search, since, sinceMade: undefined })}
      />
      {earlier && earlier.length > 1 && (
        <Select
          size="xs"
          w={250}
          aria-label={t`Report to compare with`}
          placeholder={t`Newest report of ${search.since ?? ""}`}
          clearable
          allowDeselect
          value={search.sinceMade ?? null}
          data={earlier.map(describe)}
          onChange={(made) => onSearch({ ...search, sinceMade: made ?? undefined })}
        />
      )}
      {search.since && (
        <Button
          variant="subtle"
          color="gray"
          onClick={() => onSearch({ ...search, since: undefined, sinceMade: undefined })}
        >
          {t`Close the comparison`}
        </Button>
      )}
      <Group gap="sm" ml="auto">
        <Menu>
          <Menu.Target>
            <Button variant="default" leftSection={<IconDownload size={15} />}>
              {t`Export`}
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              component="a"
              href={reportPageAddress(dataset.uuid, version, {
                since: search.since,
                made: search.made,
                sinceMade: search.sinceMade,
                language: i18n.locale.startsWith("zh") ? "zh" : "en",
              })}
              download
            >
              {t`As a page to send or print`}
            </Menu.Item>
            <Menu.Item
              disabled={!report}
              onClick={() => report && saveJson(report, `${dataset.name}-${version}-report.json`)}
            >
              {t`As JSON`}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
        {can("datasets:write") && (
          <Button
            variant="default"
            leftSection={<IconRefresh size={15} />}
            onClick={() => setMaking(true)}
          >
            {t`Make it again`}
          </Button>
        )}
      </Group>
      <MakeReport
        dataset={dataset}
        version={version}
        report={report}
        opened={making}
        onClose={() => setMaking(false)}
      />
    </Group>
  );
}
