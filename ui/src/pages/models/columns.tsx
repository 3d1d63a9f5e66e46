import { useLingui } from "@lingui/react/macro";
import { Group } from "@mantine/core";
import { useProjectParam } from "@/api/projects";
import { formatMetric } from "@/design/format";
import { AnchorLink } from "@/design/links";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import type { Column } from "@/design/table/types";
import { Id, Size, TimeAgo } from "@/design/values";
import { AliasBadges } from "./AliasBadges";
import { mainResults } from "./metrics";
import { type ModelRow, modelLabel } from "./versions";

const FIGURES = 2;
const OLDER = 4;

/** Return the columns of the registry. */
export function useModelColumns(): Column<ModelRow>[] {
  const { t, i18n } = useLingui();
  const project = useProjectParam();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: ({ model }) => (
        <AnchorLink
          to="/p/$project/models/$model"
          params={{ project, model: model.uuid }}
          c="inherit"
          fw={500}
        >
          {modelLabel(model)}
        </AnchorLink>
      ),
    },
    {
      id: "aliases",
      header: t`Aliases`,
      width: 160,
      cell: ({ model }) => <AliasBadges aliases={model.aliases} />,
    },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: ({ model }) => <Status status={model.status} />,
    },
    {
      id: "older",
      header: t`Older versions`,
      width: 140,
      cell: ({ older }) => (
        <Group gap={8} wrap="nowrap">
          {older.slice(0, OLDER).map((model) => (
            <Group key={model.uuid} gap={4} wrap="nowrap">
              <AnchorLink to="/p/$project/models/$model" params={{ project, model: model.uuid }}>
                {model.version ?? "–"}
              </AnchorLink>
              <AliasBadges aliases={model.aliases} />
            </Group>
          ))}
          {older.length > OLDER && <span className="secondary">+{older.length - OLDER}</span>}
        </Group>
      ),
    },
    {
      id: "base",
      header: t`Base model`,
      width: 150,
      cell: ({ model: { base_model: base } }) =>
        base && (
          <AnchorLink to="/p/$project/models/$model" params={{ project, model: base.uuid }}>
            {modelLabel(base)}
          </AnchorLink>
        ),
    },
    {
      id: "metrics",
      header: t`Metrics`,
      width: 220,
      cell: ({ model }) => (
        <span className="secondary">
          {mainResults(model.metrics, FIGURES)
            .map(([name, value]) => `${name} ${formatMetric(value, i18n.locale)}`)
            .join(" · ")}
        </span>
      ),
    },
    {
      id: "size",
      header: t`Size`,
      width: 90,
      align: "right",
      cell: ({ model }) => <Size bytes={model.size} />,
    },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: ({ model }) => <UserName user={model.author} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      cell: ({ model }) => <TimeAgo time={model.created_at} />,
    },
    { id: "framework", header: t`Format`, optional: true, cell: ({ model }) => model.framework },
    { id: "license", header: t`Licence`, optional: true, cell: ({ model }) => model.license },
    { id: "id", header: t`Id`, optional: true, cell: ({ model }) => <Id value={model.uuid} /> },
  ];
}
