import { useLingui } from "@lingui/react/macro";
import { Group, Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { datasetChoicesOptions, versionChoicesOptions } from "@/api/choices";
import { useProject } from "@/api/projects";
import { formatNumber } from "@/design/format";

interface Props {
  label: string;
  description: string;
  dataset: string;
  /** Empty: the current version. */
  version: string;
  onChange: (dataset: string, version: string) => void;
  required?: boolean;
}

/** Choose a dataset and one of its versions. */
export function DatasetPicker(props: Props) {
  const { label, description, dataset, version, onChange, required = false } = props;
  const { t, i18n } = useLingui();
  const project = useProject();
  const datasets = useQuery(datasetChoicesOptions(project.uuid)).data?.items ?? [];
  const versions = useQuery(versionChoicesOptions(dataset)).data?.items ?? [];
  const current = datasets.find((item) => item.uuid === dataset)?.version;
  return (
    <Group align="flex-end" gap="sm" wrap="wrap">
      <Select
        style={{ flex: "1 1 260px" }}
        label={label}
        description={description}
        withAsterisk={required}
        searchable
        clearable={!required}
        placeholder={t`Choose a dataset`}
        nothingFoundMessage={t`No dataset of this name`}
        value={dataset || null}
        onChange={(value) => onChange(value ?? "", "")}
        data={datasets.map((item) => ({
          value: item.uuid,
          label: t`${item.name} (${formatNumber(item.row_count, i18n.locale)} rows)`,
        }))}
      />
      {dataset && (
        <Select
          w={180}
          aria-label={t`Version of ${label}`}
          value={version}
          onChange={(value) => onChange(dataset, value ?? "")}
          data={[
            { value: "", label: current ? t`Current (${current})` : t`Current version` },
            ...versions.map((item) => ({ value: item.version, label: item.version })),
          ]}
        />
      )}
    </Group>
  );
}
