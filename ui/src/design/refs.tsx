import { useLingui } from "@lingui/react/macro";
import { useProjectParam } from "@/api/projects";
import type { UserRef } from "@/api/types";
import { AnchorLink } from "./links";

/** References to things by name; each leads to the page of the thing. */

/** Show a user by name. An account that was deleted is named as such. */
export function UserName({ user }: { user: UserRef | null }) {
  const { t } = useLingui();
  if (!user) return <span className="secondary">{t`deleted account`}</span>;
  return <span title={user.uuid}>{user.username}</span>;
}

interface RefProps {
  uuid: string;
  name: string;
}

export function TaskLink({ uuid, name }: RefProps) {
  const project = useProjectParam();
  return (
    <AnchorLink to="/p/$project/tasks/$task" params={{ project, task: uuid }}>
      {name}
    </AnchorLink>
  );
}

/** Link to a dataset by its uuid or name. */
export function DatasetLink({ uuid, name }: RefProps) {
  return <SectionLink section="datasets" uuid={uuid} name={name} />;
}

export function ModelLink({ uuid, name }: RefProps) {
  return <SectionLink section="models" uuid={uuid} name={name} />;
}

export function ExperimentLink({ uuid, name }: RefProps) {
  return <SectionLink section="experiments" uuid={uuid} name={name} />;
}

export function DeploymentLink({ uuid, name }: RefProps) {
  return <SectionLink section="deployments" uuid={uuid} name={name} />;
}

function SectionLink({ section, uuid, name }: RefProps & { section: string }) {
  const project = useProjectParam();
  const to = `/p/${encodeURIComponent(project)}/${section}/${encodeURIComponent(uuid)}`;
  return <AnchorLink to={to}>{name}</AnchorLink>;
}
