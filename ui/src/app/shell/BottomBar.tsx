import { useLingui } from "@lingui/react/macro";
import { Menu, UnstyledButton } from "@mantine/core";
import { IconDots } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { PlainLink } from "@/design/links";
import classes from "./Shell.module.css";
import { useSectionsHere, useSectionsOfPlatform } from "./useSections";

const DIRECT = 4;

/** On narrow screens, four pages and a menu with all others. */
export function BottomBar({ project }: { project: string | undefined }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const inProject = useSectionsHere(project).map((section) => ({
    ...section,
    to: `/p/${encodeURIComponent(project ?? "")}/${section.path}`,
    exact: section.path === "",
  }));
  const onPlatform = useSectionsOfPlatform().map((section) => ({
    ...section,
    to: section.path,
    exact: section.path === "/",
  }));
  const all = project ? [...inProject, ...onPlatform] : onPlatform;
  const rest = all.slice(DIRECT);
  return (
    <nav className={classes.bottom} aria-label={t`Pages`}>
      {all.slice(0, DIRECT).map(({ to, label, icon: Icon, exact }) => (
        <PlainLink key={to} to={to} className={classes.tab} activeOptions={{ exact }}>
          <Icon size={20} stroke={1.6} />
          <span className="truncate">{label}</span>
        </PlainLink>
      ))}
      <Menu position="top-end">
        <Menu.Target>
          <UnstyledButton className={classes.tab}>
            <IconDots size={20} />
            {t`More`}
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          {rest.map(({ to, label }) => (
            <Menu.Item key={to} onClick={() => void navigate({ to })}>
              {label}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </nav>
  );
}
