import { useLingui } from "@lingui/react/macro";
import {
  IconActivity,
  IconBox,
  IconClock,
  IconDatabase,
  IconFlask,
  IconFolders,
  IconHome,
  IconKey,
  IconLayoutDashboard,
  IconListDetails,
  IconMessage,
  IconRocket,
  IconScale,
  IconServer,
  IconSettings,
  IconUsers,
} from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface Section {
  /** The address below `/p/<project>`, or the whole one of a platform's page. */
  path: string;
  label: string;
  icon: ComponentType<{ size?: number; stroke?: number }>;
  /** Who lacks this permission does not see the entry. */
  permission?: string;
}

/** Return the pages of a project. Add a page here when its route exists. */
export function useProjectSections(): Section[] {
  const { t } = useLingui();
  return [
    { path: "", label: t`Overview`, icon: IconLayoutDashboard },
    { path: "datasets", label: t`Datasets`, icon: IconDatabase, permission: "datasets:read" },
    { path: "experiments", label: t`Experiments`, icon: IconFlask, permission: "training:read" },
    { path: "evaluations", label: t`Evaluations`, icon: IconScale, permission: "tasks:read" },
    { path: "models", label: t`Models`, icon: IconBox, permission: "models:read" },
    { path: "deployments", label: t`Deployments`, icon: IconRocket, permission: "inference:read" },
    { path: "playground", label: t`Playground`, icon: IconMessage, permission: "inference:read" },
    { path: "tasks", label: t`Tasks`, icon: IconListDetails, permission: "tasks:read" },
    { path: "schedules", label: t`Schedules`, icon: IconClock, permission: "tasks:read" },
    { path: "settings", label: t`Settings`, icon: IconSettings },
  ];
}

/** Return the pages of the platform. Add a page here when its route exists. */
export function usePlatformSections(): Section[] {
  const { t } = useLingui();
  return [
    { path: "/", label: t`Home`, icon: IconHome },
    { path: "/projects", label: t`Projects`, icon: IconFolders },
    { path: "/workers", label: t`Workers`, icon: IconServer, permission: "settings:read" },
    { path: "/users", label: t`Users`, icon: IconUsers, permission: "users:read" },
    { path: "/roles", label: t`Roles`, icon: IconKey, permission: "roles:read" },
    { path: "/audit", label: t`Audit`, icon: IconActivity, permission: "audit:read" },
  ];
}
