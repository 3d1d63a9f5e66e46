import { useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { Status } from "@/design/Status";
import { DangerZone } from "./DangerZone";
import { GeneralSettings } from "./GeneralSettings";
import { Members } from "./Members";
import type { SettingsTab } from "./search";
import { Usage } from "./Usage";

interface Props {
  tab: SettingsTab | undefined;
  onTab: (tab: SettingsTab) => void;
}

/** What a project is called, who may do what in it, and what it uses. */
export function ProjectSettingsPage({ tab = "general", onTab }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  return (
    <>
      <PageHeader
        title={t`Settings`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        aside={project.status === "archived" && <Status status="archived" />}
      />
      <Tabs value={tab} onChange={(value) => onTab(value as SettingsTab)} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="general">{t`General`}</Tabs.Tab>
          {can("members:read") && <Tabs.Tab value="members">{t`Members`}</Tabs.Tab>}
          <Tabs.Tab value="usage">{t`Usage`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="general">
          <GeneralSettings project={project} />
          <DangerZone project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="members">
          <Members project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="usage">
          <Usage project={project} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
