import { useLingui } from "@lingui/react/macro";
import { Button, Group, SegmentedControl, Switch, TextInput } from "@mantine/core";
import { IconBox, IconFileImport, IconGitCompare, IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import { useAllModels, useProjectModels } from "@/api/models";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PreviewDrawer } from "@/design/preview/PreviewDrawer";
import { ColumnMenu } from "@/design/table/ColumnMenu";
import { DataTable } from "@/design/table/DataTable";
import { SavedViews } from "@/design/views/SavedViews";
import { useModelColumns } from "./columns";
import type { ModelListSearch, Scope } from "./search";
import { groupVersions, type ModelRow, modelLabel } from "./versions";

interface Props {
  search: ModelListSearch;
  onSearch: (search: ModelListSearch) => void;
}

/** The registry: base models that were imported, and models that trainings made. */
export function ModelListPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const navigate = useNavigate();
  const columns = useModelColumns();
  const shared = search.scope === "shared";
  const own = useProjectModels(project.uuid, !shared);
  const everywhere = useAllModels(shared);
  const list = shared ? everywhere : own;
  const rows = useMemo(() => {
    const pages = shared ? everywhere.data?.pages : own.data?.pages;
    if (!pages) return undefined;
    const words = (search.q ?? "").toLowerCase();
    const models = pages
      .flatMap((page) => page.items)
      .filter((model) => !shared || model.project === null)
      .filter((model) =>
        [modelLabel(model), ...model.aliases.map((alias) => `${model.name}@${alias}`)].some(
          (text) => text.toLowerCase().includes(words),
        ),
      );
    if (search.all) return models.map((model): ModelRow => ({ model, older: [] }));
    return groupVersions(models);
  }, [shared, everywhere.data, own.data, search.q, search.all]);
  const importButton = can("models:write") && (
    <ButtonLink
      to="/p/$project/models/import"
      params={{ project: param }}
      leftSection={<IconFileImport size={15} />}
    >
      {t`Import a model`}
    </ButtonLink>
  );
  return (
    <>
      <PageHeader
        title={t`Models`}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
        ]}
        lead={t`Base models to tune, and the models that your trainings made. Each keeps its versions, its card and what it was made of.`}
        actions={importButton}
      />
      <Group mb="md" gap="sm">
        <TextInput
          data-filter
          size="xs"
          w={240}
          leftSection={<IconSearch size={14} />}
          placeholder={t`Name or version`}
          aria-label={t`Name or version`}
          value={search.q ?? ""}
          onChange={(event) => onSearch({ ...search, q: event.currentTarget.value || undefined })}
        />
        <SegmentedControl
          size="xs"
          aria-label={t`Which models`}
          value={search.scope ?? "project"}
          onChange={(value) =>
            onSearch({ ...search, scope: value === "project" ? undefined : (value as Scope) })
          }
          data={[
            { value: "project", label: t`Of this project` },
            { value: "shared", label: t`Shared by all projects` },
          ]}
        />
        <Switch
          size="xs"
          label={t`Each version in its own row`}
          checked={search.all ?? false}
          onChange={(event) =>
            onSearch({ ...search, all: event.currentTarget.checked || undefined })
          }
        />
        <Group ml="auto" gap="xs">
          <SavedViews list="models" search={search} onSearch={onSearch} />
          <ColumnMenu
            columns={columns}
            shown={search.columns}
            onChange={(chosen) => onSearch({ ...search, columns: chosen })}
          />
        </Group>
      </Group>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!list.error && (
        <DataTable
          label={t`Models`}
          columns={columns}
          shown={search.columns}
          rows={rows}
          rowKey={({ model }) => model.uuid}
          onPeek={({ model }) => onSearch({ ...search, preview: model.uuid })}
          onOpen={({ model }) =>
            void navigate({
              to: "/p/$project/models/$model",
              params: { project: param, model: model.uuid },
            })
          }
          bulk={(chosen) => <CompareButton chosen={chosen} />}
          hasMore={list.hasNextPage}
          loadingMore={list.isFetchingNextPage}
          onMore={() => void list.fetchNextPage()}
          empty={
            <EmptyState
              icon={<IconBox size={32} stroke={1.5} />}
              title={search.q ? t`No model has this name` : t`No models yet`}
              action={
                search.q ? (
                  <Button variant="default" onClick={() => onSearch({ ...search, q: undefined })}>
                    {t`Clear the filters`}
                  </Button>
                ) : (
                  importButton || undefined
                )
              }
            >
              {search.q
                ? t`Look at the models that all projects share, or try a part of the name.`
                : t`A model is a set of weights with a name and versions. Import a base model first; then a training on your dataset makes the next one.`}
            </EmptyState>
          }
        />
      )}
      <PreviewDrawer
        kind="model"
        uuid={search.preview}
        onClose={() => onSearch({ ...search, preview: undefined })}
      />
    </>
  );
}

/** Compares two selected models. */
function CompareButton({ chosen }: { chosen: ModelRow[] }) {
  const { t } = useLingui();
  const project = useProjectParam();
  const [a, b] = chosen;
  if (!a || !b || chosen.length > 2)
    return <span className="secondary">{t`Select two models to compare them.`}</span>;
  return (
    <ButtonLink
      variant="default"
      to="/p/$project/models/compare"
      params={{ project }}
      search={{ a: b.model.uuid, b: a.model.uuid }}
      leftSection={<IconGitCompare size={15} />}
    >
      {t`Compare`}
    </ButtonLink>
  );
}
