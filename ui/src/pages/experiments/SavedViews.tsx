import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Group, Menu, Modal, Stack, TextInput, Tooltip } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { IconBookmark, IconTrash } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import { useProject } from "@/api/projects";
import type { ListSearch } from "./search";

interface Props {
  list: string;
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
}

/** Filters, order and columns under a name. They are kept in this browser. */
export function SavedViews({ list, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const [views, setViews] = useLocalStorage<Record<string, ListSearch>>({
    key: `aiplatform.views.${project.uuid}.${list}`,
    defaultValue: {},
  });
  const [saving, setSaving] = useState(false);
  const [name, setName] = useState("");
  const names = Object.keys(views).sort((a, b) => a.localeCompare(b));
  const save = (event: FormEvent) => {
    event.preventDefault();
    setViews({ ...views, [name.trim()]: search });
    setSaving(false);
    setName("");
  };
  const remove = (gone: string) =>
    setViews(Object.fromEntries(Object.entries(views).filter(([key]) => key !== gone)));
  return (
    <>
      <Menu>
        <Menu.Target>
          <Tooltip label={t`Saved views`}>
            <ActionIcon aria-label={t`Saved views`} size="lg">
              <IconBookmark size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          {names.map((key) => (
            <Menu.Item key={key} onClick={() => onSearch(views[key] ?? {})}>
              {key}
            </Menu.Item>
          ))}
          {names.length > 0 && <Menu.Divider />}
          <Menu.Item onClick={() => setSaving(true)}>{t`Save this view`}</Menu.Item>
          {names.map((key) => (
            <Menu.Item
              key={key}
              leftSection={<IconTrash size={14} />}
              onClick={() => remove(key)}
            >{t`Remove ${key}`}</Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Modal opened={saving} onClose={() => setSaving(false)} title={t`Save this view`}>
        <form onSubmit={save}>
          <Stack gap="md">
            <TextInput
              data-autofocus
              label={t`Name`}
              description={t`Filter, order and columns as they are now, in this browser.`}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <Group justify="flex-end">
              <Button type="submit" disabled={!name.trim()}>
                {t`Save`}
              </Button>
            </Group>
          </Stack>
        </form>
      </Modal>
    </>
  );
}
