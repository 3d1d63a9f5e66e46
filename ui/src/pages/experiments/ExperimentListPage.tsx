import { useLingui } from "@lingui/react/macro";
import { Tabs } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { SweepTable } from "@/pages/sweeps/SweepTable";
import { ExperimentTable } from "./ExperimentTable";
import { RunTable } from "./RunTable";
import type { ListSearch, View } from "./search";

interface Props {
  search: ListSearch;
  onSearch: (search: ListSearch) => void;
}

/** The project's experiments, their runs, and the sweeps over them. */
export function ExperimentListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const view = search.view ?? "experiments";
  return (
    <>
      <PageHeader
        title={t`Experiments`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`An experiment is a training configuration; each training with it is a run, and a sweep looks for good values.`}
        actions={
          can("training:write") && (
            <>
              <ButtonLink variant="default" to="/p/$project/sweeps/new" params={{ project: param }}>
                {t`New sweep`}
              </ButtonLink>
              <ButtonLink
                to="/p/$project/experiments/new"
                params={{ project: param }}
                leftSection={<IconPlus size={16} />}
              >
                {t`New training`}
              </ButtonLink>
            </>
          )
        }
      />
      <Tabs
        value={view}
        onChange={(value) => onSearch({ view: (value ?? undefined) as View | undefined })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="experiments">{t`Experiments`}</Tabs.Tab>
          <Tabs.Tab value="runs">{t`Runs`}</Tabs.Tab>
          <Tabs.Tab value="sweeps">{t`Sweeps`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="experiments">
          <ExperimentTable search={search} onSearch={onSearch} />
        </Tabs.Panel>
        <Tabs.Panel value="runs">
          <RunTable search={search} onSearch={onSearch} />
        </Tabs.Panel>
        <Tabs.Panel value="sweeps">
          <SweepTable project={project.uuid} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
