import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Checkbox, Popover, Stack, Tooltip } from "@mantine/core";
import { IconColumns3 } from "@tabler/icons-react";
import type { Column } from "./types";

interface Props<Row> {
  columns: Column<Row>[];
  shown: readonly string[] | undefined;
  onChange: (shown: string[]) => void;
}

/** Choose the columns of a table. */
export function ColumnMenu<Row>({ columns, shown, onChange }: Props<Row>) {
  const { t } = useLingui();
  const current = shown ?? columns.filter((column) => !column.optional).map((column) => column.id);
  const toggle = (id: string) =>
    onChange(current.includes(id) ? current.filter((other) => other !== id) : [...current, id]);
  return (
    <Popover position="bottom-end" shadow="md" transitionProps={{ duration: 100 }}>
      <Popover.Target>
        <Tooltip label={t`Columns`}>
          <ActionIcon aria-label={t`Columns`} size="lg">
            <IconColumns3 size={18} />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          {columns
            .filter((column) => !column.primary)
            .map((column) => (
              <Checkbox
                key={column.id}
                size="xs"
                label={column.header}
                checked={current.includes(column.id)}
                onChange={() => toggle(column.id)}
              />
            ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
