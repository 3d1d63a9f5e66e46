import { useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { Status } from "@/design/Status";
import { GateSettings } from "../project-settings/GateSettings";
import { Keeping } from "../project-settings/Keeping";
import { ProjectBin } from "../project-settings/ProjectBin";
import { Transfer } from "../project-settings/Transfer";
import { Webhooks } from "../project-settings/Webhooks";
import { SecretList } from "../secrets/SecretList";
import { DangerZone } from "./DangerZone";
import { GeneralSettings } from "./GeneralSettings";
import { Members } from "./Members";
import type { SettingsSearch, SettingsTab } from "./search";
import { Usage } from "./Usage";

interface Props {
  search: SettingsSearch;
  onSearch: (search: SettingsSearch) => void;
}

/** What a project is called, who may do what in it, what it uses, and by which rules. */
export function ProjectSettingsPage({ search, onSearch }: Props) {
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
      <Tabs
        value={search.tab ?? "general"}
        onChange={(tab) => onSearch({ tab: (tab ?? undefined) as SettingsTab | undefined })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="general">{t`General`}</Tabs.Tab>
          {can("members:read") && <Tabs.Tab value="members">{t`Members`}</Tabs.Tab>}
          <Tabs.Tab value="usage">{t`Usage`}</Tabs.Tab>
          {can("datasets:read") && <Tabs.Tab value="gate">{t`Gate`}</Tabs.Tab>}
          {can("members:write") && <Tabs.Tab value="webhooks">{t`Webhooks`}</Tabs.Tab>}
          {can("tasks:read") && <Tabs.Tab value="secrets">{t`Secrets`}</Tabs.Tab>}
          <Tabs.Tab value="retention">{t`Retention`}</Tabs.Tab>
          <Tabs.Tab value="bin">{t`Bin`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="general">
          <GeneralSettings project={project} />
          <Transfer project={project} />
          <DangerZone project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="members">
          <Members project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="usage">
          <Usage project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="gate">
          <GateSettings project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="webhooks">
          <Webhooks
            project={project}
            shown={search.webhook}
            onShow={(webhook) => onSearch({ tab: "webhooks", webhook })}
          />
        </Tabs.Panel>
        <Tabs.Panel value="secrets">
          <SecretList
            project={project.uuid}
            writable={can("projects:write")}
            description={t`Tasks of everybody who may start tasks here can use them, as environment variables. Their values can't be read again.`}
          />
        </Tabs.Panel>
        <Tabs.Panel value="retention">
          <Keeping project={project} />
        </Tabs.Panel>
        <Tabs.Panel value="bin">
          <ProjectBin project={project} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
