import { useLingui } from "@lingui/react/macro";
import { Tabs, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { modelOptions } from "@/api/models";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import type { Model } from "@/api/types";
import { Figures } from "@/design/Figures";
import { formatNumber } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { Markdown, withoutFrontMatter } from "@/design/Markdown";
import { useModelKinds } from "@/design/modelKinds";
import { PageHeader } from "@/design/PageHeader";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { Id, Size, TimeAgo } from "@/design/values";
import { AliasBadges } from "./AliasBadges";
import { AliasTable } from "./aliases/AliasTable";
import { EntryTable } from "./EntryTable";
import { flatten } from "./flatten";
import { ImportState } from "./ImportState";
import { Lineage } from "./Lineage";
import { ModelActions } from "./ModelActions";
import { ModelFiles } from "./ModelFiles";
import { ModelVersions } from "./ModelVersions";
import { splitMetrics } from "./metrics";
import { SeriesTable } from "./SeriesTable";
import type { ModelSearch, ModelTab } from "./search";
import { modelLabel } from "./versions";

interface Props {
  uuid: string;
  search: ModelSearch;
  onSearch: (search: ModelSearch) => void;
}

/** One version of a model: its card, what it was made of, and where it is used. */
export function ModelPage({ uuid, search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const model = useSuspenseQuery(modelOptions(uuid)).data;
  const tab = search.tab ?? "card";
  const metrics = splitMetrics(model.metrics);
  return (
    <>
      <PageHeader
        title={modelLabel(model)}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="models" to="/p/$project/models" params={{ project: param }}>
            {t`Models`}
          </AnchorLink>,
        ]}
        aside={
          <>
            <Status status={model.status} />
            <AliasBadges aliases={model.aliases} />
          </>
        }
        lead={<ModelLead model={model} />}
        actions={<ModelActions model={model} />}
      />
      {model.status !== "ready" && <ImportState model={model} />}
      <Figures
        items={[
          { label: t`Size`, value: <Size bytes={model.size} /> },
          { label: t`Format`, value: model.framework ?? "–" },
          { label: t`Licence`, value: model.license ?? "–" },
          {
            label: t`Base model`,
            value: model.base_model ? (
              <AnchorLink
                to="/p/$project/models/$model"
                params={{ project: param, model: model.base_model.uuid }}
              >
                {modelLabel(model.base_model)}
              </AnchorLink>
            ) : (
              "–"
            ),
          },
          { label: t`Author`, value: <UserName user={model.author} /> },
          { label: t`Created`, value: <TimeAgo time={model.created_at} /> },
          { label: t`Id`, value: <Id value={model.uuid} /> },
        ]}
      />
      <Tabs
        value={tab}
        onChange={(value) => onSearch({ tab: (value ?? undefined) as ModelTab | undefined })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="card">{t`Card`}</Tabs.Tab>
          <Tabs.Tab value="metrics">{t`Metrics`}</Tabs.Tab>
          <Tabs.Tab value="lineage">{t`Lineage`}</Tabs.Tab>
          <Tabs.Tab value="files">{t`Files`}</Tabs.Tab>
          <Tabs.Tab value="versions">{t`Versions`}</Tabs.Tab>
          <Tabs.Tab value="aliases">{t`Aliases`}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="card">
          {model.card ? (
            <Markdown label={t`Card`}>{withoutFrontMatter(model.card)}</Markdown>
          ) : (
            <Text c="dimmed">{t`This model has no card. Imports and trainings write one.`}</Text>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="metrics">
          <EntryTable
            label={t`Metrics`}
            entries={flatten(metrics.results)}
            empty={t`No figures yet. A training on this platform records them.`}
          />
          <SeriesTable series={metrics.series} />
          <EntryTable
            label={t`Facts`}
            title={t`Facts`}
            entries={flatten(model.facts)}
            empty={t`Nothing more is known of this model.`}
          />
        </Tabs.Panel>
        <Tabs.Panel value="lineage">
          <Lineage model={model} seesDeployments={can("inference:read")} />
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <ModelFiles model={model} />
        </Tabs.Panel>
        <Tabs.Panel value="versions">
          <ModelVersions model={model} />
        </Tabs.Panel>
        <Tabs.Panel value="aliases">
          <AliasTable model={model} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

/** What the model is, in one sentence. */
function ModelLead({ model }: { model: Model }) {
  const { t, i18n } = useLingui();
  const kinds = useModelKinds();
  const parts: string[] = [];
  const { architecture, parameters } = model.facts;
  if (model.base_model) parts.push(t`Tuned from ${modelLabel(model.base_model)}`);
  else if (typeof architecture === "string") parts.push(architecture);
  if (typeof parameters === "number") {
    const count = formatNumber(parameters, i18n.locale, {
      notation: "compact",
      maximumSignificantDigits: 3,
    });
    parts.push(t`${count} parameters`);
  }
  if (model.status === "ready" && model.kind !== "language_model") parts.push(kinds[model.kind]);
  if (model.project === null) parts.push(t`shared by all projects`);
  return <>{parts.join(" · ")}</>;
}
