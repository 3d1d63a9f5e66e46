import { useLingui } from "@lingui/react/macro";
import { useProjectParam } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { AnchorLink } from "@/design/links";
import { Status } from "@/design/Status";
import type { Column } from "@/design/table/types";
import { Id, Num, Size, TimeAgo } from "@/design/values";
import { useShapeLabel } from "./labels";
import { Score } from "./Score";

/** Return the columns of the list of datasets. */
export function useDatasetColumns(): Column<Dataset>[] {
  const { t } = useLingui();
  const project = useProjectParam();
  const shapeLabel = useShapeLabel();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (dataset) => (
        <AnchorLink
          to="/p/$project/datasets/$dataset"
          params={{ project, dataset: dataset.uuid }}
          c="inherit"
          fw={500}
        >
          {dataset.name}
        </AnchorLink>
      ),
    },
    { id: "version", header: t`Version`, width: 90, cell: (dataset) => dataset.version },
    {
      id: "status",
      header: t`Status`,
      width: 120,
      cell: (dataset) => <Status status={dataset.status} />,
    },
    { id: "shape", header: t`Rows are`, width: 190, cell: (dataset) => shapeLabel(dataset.shape) },
    {
      id: "score",
      header: t`Quality`,
      width: 90,
      align: "right",
      cell: (dataset) => <Score report={dataset.quality_report} />,
    },
    {
      id: "rows",
      header: t`Rows`,
      width: 110,
      align: "right",
      cell: (dataset) => <Num value={dataset.row_count} />,
    },
    {
      id: "size",
      header: t`Size`,
      width: 100,
      align: "right",
      cell: (dataset) => <Size bytes={dataset.size} />,
    },
    {
      id: "updated",
      header: t`Changed`,
      width: 130,
      align: "right",
      cell: (dataset) => <TimeAgo time={dataset.updated_at} />,
    },
    {
      id: "created",
      header: t`Created`,
      width: 130,
      align: "right",
      optional: true,
      cell: (dataset) => <TimeAgo time={dataset.created_at} />,
    },
    { id: "format", header: t`Format`, optional: true, cell: (dataset) => dataset.format ?? "–" },
    { id: "id", header: t`Id`, optional: true, cell: (dataset) => <Id value={dataset.uuid} /> },
  ];
}
