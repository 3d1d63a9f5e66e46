import { useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { allModelsOptions, modelVersionsOptions } from "@/api/models";
import { useProject, useProjectParam } from "@/api/projects";
import type { Model } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { DataTable } from "@/design/table/DataTable";
import { useModelColumns } from "./columns";

const SHOWN = ["name", "aliases", "status", "metrics", "size", "author", "created", "compare"];

/** All versions of the model, each to be compared with this one. */
export function ModelVersions({ model }: { model: Model }) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const navigate = useNavigate();
  const shared = model.project === null;
  const own = useQuery({ ...modelVersionsOptions(project.uuid, model.name), enabled: !shared });
  const everywhere = useQuery({ ...allModelsOptions, enabled: shared });
  const { data, error, refetch } = shared ? everywhere : own;
  const columns = useModelColumns();
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  return (
    <DataTable
      label={t`Versions`}
      shown={SHOWN}
      columns={[
        ...columns,
        {
          id: "compare",
          header: t`Comparison`,
          width: 180,
          cell: (row) =>
            row.model.uuid === model.uuid ? (
              <span className="secondary">{t`this version`}</span>
            ) : (
              <AnchorLink
                to="/p/$project/models/compare"
                params={{ project: param }}
                search={{ a: row.model.uuid, b: model.uuid }}
              >
                {t`Compare with this one`}
              </AnchorLink>
            ),
        },
      ]}
      rows={data?.items
        .filter((other) => other.name === model.name && other.project === model.project)
        .map((other) => ({ model: other, older: [] }))}
      rowKey={(row) => row.model.uuid}
      onOpen={(row) =>
        void navigate({
          to: "/p/$project/models/$model",
          params: { project: param, model: row.model.uuid },
        })
      }
    />
  );
}
