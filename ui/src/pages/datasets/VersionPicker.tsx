import { useLingui } from "@lingui/react/macro";
import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { tagsOptions, useVersions } from "@/api/datasets";
import type { Dataset } from "@/api/types";

interface Props {
  dataset: Dataset;
  value: string | undefined;
  onChange: (version: string) => void;
  label?: string;
  width?: number;
}

/** Choose a version by its number, with the tags that are on it. */
export function VersionPicker({ dataset, value, onChange, label, width = 150 }: Props) {
  const { t } = useLingui();
  const versions = useVersions(dataset.uuid);
  const tags = useQuery(tagsOptions(dataset.uuid)).data?.items ?? [];
  const known = versions.data?.pages.flatMap((page) => page.items.map((item) => item.version));
  const names = new Set([...(value ? [value] : []), ...(known ?? [dataset.version])]);
  const describe = (version: string) => {
    const on = tags.filter((tag) => tag.version === version).map((tag) => `@${tag.name}`);
    return [version, ...on].join(" ");
  };
  return (
    <Select
      size="xs"
      w={width}
      searchable
      aria-label={label ?? t`Version`}
      placeholder={label ?? t`Version`}
      value={value ?? null}
      data={[...names].map((version) => ({ value: version, label: describe(version) }))}
      onChange={(chosen) => chosen && onChange(chosen)}
      onDropdownOpen={() => {
        if (versions.hasNextPage) void versions.fetchNextPage();
      }}
    />
  );
}
