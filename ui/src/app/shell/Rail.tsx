import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Tooltip } from "@mantine/core";
import { IconLayoutSidebarLeftCollapse, IconLayoutSidebarLeftExpand } from "@tabler/icons-react";
import { PlainLink } from "@/design/links";
import { PreferenceMenus } from "../PreferenceMenus";
import { AccountMenu } from "./AccountMenu";
import { Bell } from "./Bell";
import { ProjectSwitcher } from "./ProjectSwitcher";
import classes from "./Shell.module.css";
import type { Section } from "./sections";
import { useSectionsHere, useSectionsOfPlatform } from "./useSections";

interface Props {
  project: string | undefined;
  collapsed: boolean;
  onToggle: () => void;
}

/** The rail on the left: the project's pages, the platform's pages, and the account. */
export function Rail({ project, collapsed, onToggle }: Props) {
  const { t } = useLingui();
  const projectSections = useSectionsHere(project);
  const platformSections = useSectionsOfPlatform();
  return (
    <nav className={classes.rail} aria-label={t`Main`}>
      <ProjectSwitcher project={project} collapsed={collapsed} />
      {project &&
        projectSections.map((section) => (
          <Item
            key={section.path}
            section={section}
            to={`/p/${encodeURIComponent(project)}/${section.path}`}
            exact={section.path === ""}
            collapsed={collapsed}
          />
        ))}
      {project && <div className={classes.divider} />}
      {platformSections.map((section) => (
        <Item
          key={section.path}
          section={section}
          to={section.path}
          exact={section.path === "/"}
          collapsed={collapsed}
        />
      ))}
      <div className={classes.foot}>
        <Bell />
        <PreferenceMenus signedIn />
        <AccountMenu />
        <Tooltip label={collapsed ? t`Widen the menu` : t`Narrow the menu`}>
          <ActionIcon
            size="lg"
            onClick={onToggle}
            aria-label={collapsed ? t`Widen the menu` : t`Narrow the menu`}
          >
            {collapsed ? (
              <IconLayoutSidebarLeftExpand size={18} />
            ) : (
              <IconLayoutSidebarLeftCollapse size={18} />
            )}
          </ActionIcon>
        </Tooltip>
      </div>
    </nav>
  );
}

interface ItemProps {
  section: Section;
  to: string;
  exact: boolean;
  collapsed: boolean;
}

function Item({ section, to, exact, collapsed }: ItemProps) {
  const Icon = section.icon;
  return (
    <Tooltip label={section.label} position="right" disabled={!collapsed}>
      <PlainLink
        to={to}
        className={classes.item}
        activeOptions={{ exact }}
        aria-label={section.label}
      >
        <Icon size={18} stroke={1.6} />
        <span className={classes.label}>{section.label}</span>
      </PlainLink>
    </Tooltip>
  );
}
