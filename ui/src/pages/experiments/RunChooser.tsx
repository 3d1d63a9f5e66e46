import { useLingui } from "@lingui/react/macro";
import { MultiSelect } from "@mantine/core";
import { useRuns } from "@/api/experiments";
import { useProject } from "@/api/projects";
import { MOST } from "./search";

interface Props {
  chosen: string[];
  /** The runs that are compared already, which may be older than those of the list. */
  known: readonly { uuid: string; name: string; kind: string }[];
  onChange: (runs: string[]) => void;
}

/** Add runs to a comparison, or take them out of it. */
export function RunChooser({ chosen, known, onChange }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const list = useRuns(project.uuid, {});
  const names = new Map<string, string>();
  for (const run of list.data?.pages.flatMap((page) => page.items) ?? [])
    names.set(run.uuid, run.name);
  for (const item of known) if (item.kind === "run") names.set(item.uuid, item.name);
  for (const uuid of chosen) if (!names.has(uuid)) names.set(uuid, uuid.slice(0, 8));
  return (
    <MultiSelect
      mb="md"
      size="xs"
      maw={720}
      aria-label={t`Compared runs`}
      placeholder={t`Add a run`}
      searchable
      clearable
      hidePickedOptions
      maxValues={MOST}
      nothingFoundMessage={t`No run of this name`}
      value={chosen}
      onChange={onChange}
      data={[...names].map(([value, label]) => ({ value, label }))}
    />
  );
}
