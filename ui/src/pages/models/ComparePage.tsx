import { useLingui } from "@lingui/react/macro";
import { Button, Group, Select, Stack, Text, Title } from "@mantine/core";
import { IconArrowsLeftRight, IconMessage } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { deploymentsOptions } from "@/api/deployments";
import { allModelsOptions, modelOptions } from "@/api/models";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { taskOptions } from "@/api/tasks";
import type { Model } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { formatMetric, formatSize } from "@/design/format";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { TableSkeleton } from "@/design/Skeletons";
import { compare, type Entry, flatten, show } from "./flatten";
import classes from "./Models.module.css";
import { splitMetrics } from "./metrics";
import type { CompareSearch } from "./search";
import { modelLabel } from "./versions";

interface Props {
  search: CompareSearch;
  onSearch: (search: CompareSearch) => void;
}

/** Two models side by side: what differs first, the rest folded. */
export function ComparePage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const all = useQuery(allModelsOptions);
  const a = useQuery({ ...modelOptions(search.a ?? ""), enabled: search.a !== undefined });
  const b = useQuery({ ...modelOptions(search.b ?? ""), enabled: search.b !== undefined });
  const options = (all.data?.items ?? [])
    .filter((model) => model.project === null || model.project === project.uuid)
    .map((model) => ({ value: model.uuid, label: modelLabel(model) }));
  const error = a.error ?? b.error ?? all.error;
  return (
    <>
      <PageHeader
        title={t`Compare models`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="models" to="/p/$project/models" params={{ project: param }}>
            {t`Models`}
          </AnchorLink>,
        ]}
        lead={t`Figures, settings of the training and facts of two models; what differs stands first.`}
      />
      <Group mb="lg" gap="sm" align="end">
        <Select
          label={t`First model`}
          w={260}
          searchable
          value={search.a ?? null}
          data={options.filter(({ value }) => value !== search.b)}
          onChange={(value) => onSearch({ ...search, a: value ?? undefined })}
        />
        <Button
          variant="default"
          aria-label={t`Swap the models`}
          onClick={() => onSearch({ a: search.b, b: search.a })}
        >
          <IconArrowsLeftRight size={15} aria-hidden />
        </Button>
        <Select
          label={t`Second model`}
          w={260}
          searchable
          value={search.b ?? null}
          data={options.filter(({ value }) => value !== search.a)}
          onChange={(value) => onSearch({ ...search, b: value ?? undefined })}
        />
      </Group>
      <ErrorNotice error={error} />
      {!search.a || !search.b ? (
        <Text c="dimmed">{t`Choose two models.`}</Text>
      ) : a.data && b.data ? (
        <Comparison a={a.data} b={b.data} />
      ) : (
        !error && <TableSkeleton />
      )}
    </>
  );
}

function Comparison({ a, b }: { a: Model; b: Model }) {
  const { t, i18n } = useLingui();
  const project = useProject();
  const can = useCanHere();
  // The task of a model that all projects share may belong to a project of somebody else.
  const readable = (model: Model) =>
    model.task !== null && model.project === project.uuid && can("tasks:read");
  const first = useQuery({ ...taskOptions(a.task ?? ""), enabled: readable(a) });
  const second = useQuery({ ...taskOptions(b.task ?? ""), enabled: readable(b) });
  const about = (model: Model): Entry[] => [
    { key: t`Base model`, value: model.base_model ? modelLabel(model.base_model) : null },
    { key: t`Size`, value: formatSize(model.size, i18n.locale) },
    { key: t`Format`, value: model.framework },
    { key: t`Licence`, value: model.license },
    ...flatten(model.facts),
  ];
  return (
    <Stack gap="xl">
      <AnswersLink a={a} b={b} />
      <Side
        title={t`Metrics`}
        a={a}
        b={b}
        left={flatten(splitMetrics(a.metrics).results)}
        right={flatten(splitMetrics(b.metrics).results)}
      />
      <Side
        title={t`Configuration`}
        a={a}
        b={b}
        left={flatten(first.data?.config ?? {})}
        right={flatten(second.data?.config ?? {})}
      />
      <Side title={t`Facts`} a={a} b={b} left={about(a)} right={about(b)} />
    </Stack>
  );
}

/** Leads to the playground with both models, if both answer. */
function AnswersLink({ a, b }: { a: Model; b: Model }) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const { data } = useQuery({
    ...deploymentsOptions(project.uuid),
    enabled: can("inference:read"),
  });
  const [first, second] = [a, b].map(({ uuid }) =>
    data?.items.find(({ model, status }) => model === uuid && status === "ready"),
  );
  if (!first || !second) return null;
  return (
    <div>
      <ButtonLink
        variant="default"
        to="/p/$project/playground"
        params={{ project: param }}
        search={{ with: [first.uuid, second.uuid] }}
        leftSection={<IconMessage size={15} />}
      >
        {t`Compare their answers`}
      </ButtonLink>
    </div>
  );
}

interface SideProps {
  title: string;
  a: Model;
  b: Model;
  left: readonly Entry[];
  right: readonly Entry[];
}

function Side({ title, a, b, left, right }: SideProps) {
  const { t, i18n } = useLingui();
  const project = useProjectParam();
  const [whole, setWhole] = useState(false);
  const rows = compare(left, right);
  const equal = rows.filter((row) => !row.differs).length;
  const shown = whole ? rows : rows.filter((row) => row.differs);
  const text = (value: unknown) =>
    typeof value === "number" ? formatMetric(value, i18n.locale) : show(value);
  return (
    <section>
      <Title order={2} mb="xs">
        {title}
      </Title>
      {rows.length === 0 && <Text c="dimmed">{t`Neither model has any.`}</Text>}
      {shown.length > 0 && (
        <table className={classes.table} aria-label={title}>
          <thead>
            <tr>
              <th scope="col">{t`Name`}</th>
              {[a, b].map((model) => (
                <th scope="col" key={model.uuid}>
                  <AnchorLink
                    to="/p/$project/models/$model"
                    params={{ project, model: model.uuid }}
                  >
                    {modelLabel(model)}
                  </AnchorLink>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={row.key} data-differs={row.differs || undefined}>
                <th scope="row">{row.key}</th>
                <td>{text(row.a)}</td>
                <td>{text(row.b)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {equal > 0 && (
        <Button variant="subtle" mt="xs" onClick={() => setWhole(!whole)} aria-expanded={whole}>
          {whole ? t`Only what differs` : t`Show ${equal} equal values`}
        </Button>
      )}
    </section>
  );
}
