import { useLingui } from "@lingui/react/macro";
import { useProjectParam } from "@/api/projects";
import type { Deployment } from "@/api/types";
import { AnchorLink } from "@/design/links";
import { ModelLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import type { Column } from "@/design/table/types";
import { Id, Num, TimeAgo } from "@/design/values";

/** Return the columns of the list of deployments. */
export function useDeploymentColumns(): Column<Deployment>[] {
  const { t } = useLingui();
  const project = useProjectParam();
  return [
    {
      id: "name",
      header: t`Name`,
      primary: true,
      cell: (deployment) => (
        <AnchorLink
          to="/p/$project/deployments/$deployment"
          params={{ project, deployment: deployment.uuid }}
          c="inherit"
          fw={500}
        >
          {deployment.name}
        </AnchorLink>
      ),
    },
    {
      id: "status",
      header: t`Status`,
      width: 150,
      cell: (deployment) => (
        <Status status={deployment.updating ? "updating" : deployment.status} />
      ),
    },
    {
      id: "model",
      header: t`Model`,
      width: 200,
      cell: ({ model, model_name: name }) =>
        model && name ? <ModelLink uuid={model} name={name} /> : (name ?? "–"),
    },
    {
      id: "error",
      header: t`Last error`,
      width: 260,
      cell: ({ error, update_error: updateError }) => (
        <span className="secondary" title={error ?? updateError ?? undefined}>
          {error ?? updateError}
        </span>
      ),
    },
    {
      id: "restarts",
      header: t`Restarts`,
      width: 90,
      align: "right",
      cell: ({ restarts }) => <Num value={restarts} />,
    },
    {
      id: "author",
      header: t`Author`,
      width: 120,
      cell: ({ author }) => <UserName user={author} />,
    },
    {
      id: "updated",
      header: t`Changed`,
      width: 120,
      align: "right",
      cell: (deployment) => <TimeAgo time={deployment.updated_at} />,
    },
    {
      id: "engine",
      header: t`Engine`,
      optional: true,
      cell: (deployment) => deployment.options.engine,
    },
    { id: "queue", header: t`Queue`, optional: true, cell: ({ queue }) => queue },
    {
      id: "created",
      header: t`Created`,
      optional: true,
      align: "right",
      cell: (deployment) => <TimeAgo time={deployment.created_at} />,
    },
    { id: "id", header: t`Id`, optional: true, cell: ({ uuid }) => <Id value={uuid} /> },
  ];
}
