import { useLingui } from "@lingui/react/macro";
import { Menu, ScrollArea, TextInput, UnstyledButton } from "@mantine/core";
import { IconChevronDown, IconFolder } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { projectOptions, projectParam, projectsOptions } from "@/api/projects";
import classes from "./Shell.module.css";

interface Props {
  project: string | undefined;
  collapsed: boolean;
}

/** Choose the project that the rail is about. */
export function ProjectSwitcher({ project, collapsed }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const [search, setSearch] = useState("");
  const current = useQuery({ ...projectOptions(project ?? ""), enabled: project !== undefined });
  const all = useQuery(projectsOptions(search));
  const name = project ? (current.data?.[0]?.name ?? project) : t`Choose a project`;
  const open = (param: string) => void navigate({ to: "/p/$project", params: { project: param } });
  return (
    <Menu position="bottom-start" width={260} onClose={() => setSearch("")}>
      <Menu.Target>
        <UnstyledButton
          className={`${classes.item} ${classes.switcher}`}
          aria-label={t`Project: ${name}`}
        >
          {collapsed ? (
            <IconFolder size={18} stroke={1.6} />
          ) : (
            <span className="truncate">{name}</span>
          )}
          <IconChevronDown size={14} className={classes.label} />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <TextInput
          size="xs"
          m={4}
          placeholder={t`Find a project`}
          aria-label={t`Find a project`}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          data-autofocus
        />
        <ScrollArea.Autosize mah={320}>
          {all.data?.items.map((item) => (
            <Menu.Item key={item.uuid} onClick={() => open(projectParam(item))}>
              {item.name}
            </Menu.Item>
          ))}
        </ScrollArea.Autosize>
        <Menu.Divider />
        <Menu.Item onClick={() => void navigate({ to: "/projects" })}>{t`All projects`}</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
