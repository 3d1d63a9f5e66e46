import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Group, Select, TextInput } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { useState } from "react";
import type { ColumnTarget } from "@/api/datasets";
import type { ColumnMap } from "./MappingTable";
import { TARGETS } from "./shapes";

interface Props {
  map: ColumnMap;
  onMap: (map: ColumnMap) => void;
}

/** Say what columns are before anybody has seen the file: by their names. */
export function ImportMapping({ map, onMap }: Props) {
  const { t } = useLingui();
  const [column, setColumn] = useState("");
  const [target, setTarget] = useState<ColumnTarget | null>(null);
  const taken = new Set(Object.values(map));
  const add = () => {
    if (!column.trim() || !target) return;
    onMap({ ...map, [column.trim()]: target });
    setColumn("");
    setTarget(null);
  };
  return (
    <>
      {Object.entries(map).map(([name, meaning]) => (
        <Group key={name} gap="sm">
          <span>
            <span className="mono">{name}</span> → <span className="mono">{meaning}</span>
          </span>
          <ActionIcon
            aria-label={t`Remove ${name}`}
            onClick={() => {
              const { [name]: _, ...others } = map;
              onMap(others);
            }}
          >
            <IconX size={14} />
          </ActionIcon>
        </Group>
      ))}
      <Group gap="sm" align="flex-end">
        <TextInput
          label={t`Column of the file`}
          value={column}
          onChange={(event) => setColumn(event.currentTarget.value)}
        />
        <Select
          label={t`Is`}
          value={target}
          data={TARGETS.map((name) => ({ value: name, label: name, disabled: taken.has(name) }))}
          onChange={(name) => setTarget(name as ColumnTarget | null)}
        />
        <Button variant="default" size="sm" disabled={!column.trim() || !target} onClick={add}>
          {t`Map it`}
        </Button>
      </Group>
    </>
  );
}
