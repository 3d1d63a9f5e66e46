import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, Tooltip } from "@mantine/core";
import { IconBookmark, IconCheck, IconPlus, IconSettings } from "@tabler/icons-react";
import { useState } from "react";
import { useProject } from "@/api/projects";
import { useMe } from "@/api/session";
import { type ListPage, type SavedView, useViews } from "@/api/views";
import { ManageViews } from "./ManageViews";
import { SaveView } from "./SaveView";
import { sameState } from "./sameState";

interface Props<Search extends object> {
  list: ListPage;
  search: Search;
  onSearch: (search: Search) => void;
}

/** Filters, order and columns of a list under a name: one's own, and those of the project. */
export function SavedViews<Search extends object>({ list, search, onSearch }: Props<Search>) {
  const { t } = useLingui();
  const project = useProject();
  const me = useMe();
  const found = useViews(project.uuid, list).data?.items ?? NONE;
  const [open, setOpen] = useState<"save" | "manage" | null>(null);
  const views = [...found].sort((a, b) => a.name.localeCompare(b.name));
  const mine = views.filter((view) => view.user.uuid === me.uuid);
  const others = views.filter((view) => view.user.uuid !== me.uuid);
  // An archived project can only be read.
  const writable = project.status === "active";
  // The route reads the state again and leaves out what it does not understand.
  const choose = (view: SavedView) => onSearch(view.state as Search);
  const close = () => setOpen(null);
  const item = (view: SavedView) => (
    <Menu.Item
      key={view.uuid}
      onClick={() => choose(view)}
      rightSection={sameState(view.state, search) && <IconCheck size={14} aria-label={t`Shown`} />}
    >
      {view.name}
    </Menu.Item>
  );
  return (
    <>
      <Menu position="bottom-end" width={240}>
        <Menu.Target>
          <Tooltip label={t`Views`}>
            <ActionIcon aria-label={t`Views`} size="lg">
              <IconBookmark size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          {mine.length > 0 && <Menu.Label>{t`Your views`}</Menu.Label>}
          {mine.map(item)}
          {others.length > 0 && <Menu.Label>{t`Shared by others`}</Menu.Label>}
          {others.map(item)}
          {views.length > 0 && writable && <Menu.Divider />}
          {writable && (
            <Menu.Item leftSection={<IconPlus size={14} />} onClick={() => setOpen("save")}>
              {t`Save this view`}
            </Menu.Item>
          )}
          {views.length > 0 && writable && (
            <Menu.Item leftSection={<IconSettings size={14} />} onClick={() => setOpen("manage")}>
              {t`Manage views`}
            </Menu.Item>
          )}
          {views.length === 0 && !writable && <Menu.Label>{t`No views`}</Menu.Label>}
        </Menu.Dropdown>
      </Menu>
      <SaveView opened={open === "save"} onClose={close} list={list} search={search} views={mine} />
      <ManageViews opened={open === "manage"} onClose={close} views={[...mine, ...others]} />
    </>
  );
}

const NONE: SavedView[] = [];
