import { useLingui } from "@lingui/react/macro";
import { projectParam, useProjectParam } from "@/api/projects";
import { useCan } from "@/api/session";
import type { UserRef } from "@/api/types";
import { AnchorLink } from "./links";
import { Preview } from "./preview/Preview";
import type { PreviewKind } from "./preview/PreviewCard";

/** References to things by name; each leads to the page of the thing, and shows it on hover. */

/** Show a user by name. An account that was deleted is named as such. */
export function UserName({ user }: { user: UserRef | null }) {
  const { t } = useLingui();
  const can = useCan();
  if (!user) return <span className="secondary">{t`deleted account`}</span>;
  const name = <span>{user.username}</span>;
  if (!can("users:read")) return name;
  return (
    <Preview kind="user" uuid={user.uuid}>
      {name}
    </Preview>
  );
}

interface RefProps {
  uuid: string;
  name: string;
}

/** Link to a project from a page outside it. */
export function ProjectLink({ uuid, name }: RefProps) {
  return (
    <Preview kind="project" uuid={uuid}>
      <AnchorLink to="/p/$project" params={{ project: projectParam({ uuid, name }) }} c="inherit">
        {name}
      </AnchorLink>
    </Preview>
  );
}

export function TaskLink({ uuid, name }: RefProps) {
  const project = useProjectParam();
  return (
    <Preview kind="task" uuid={uuid}>
      <AnchorLink to="/p/$project/tasks/$task" params={{ project, task: uuid }}>
        {name}
      </AnchorLink>
    </Preview>
  );
}

/** Link to a dataset by its uuid or name. */
export function DatasetLink({ uuid, name }: RefProps) {
  return <SectionLink kind="dataset" section="datasets" uuid={uuid} name={name} />;
}

export function ModelLink({ uuid, name }: RefProps) {
  return <SectionLink kind="model" section="models" uuid={uuid} name={name} />;
}

export function ExperimentLink({ uuid, name }: RefProps) {
  return <SectionLink kind="experiment" section="experiments" uuid={uuid} name={name} />;
}

export function DeploymentLink({ uuid, name }: RefProps) {
  return <SectionLink kind="deployment" section="deployments" uuid={uuid} name={name} />;
}

interface SectionProps extends RefProps {
  kind: PreviewKind;
  section: string;
}

function SectionLink(props: SectionProps) {
  return <LinkInto project={useProjectParam()} {...props} />;
}

/** Link to a thing of a project from a page outside it. */
export function LinkInto({
  project,
  kind,
  section,
  uuid,
  name,
}: SectionProps & { project: string }) {
  const to = `/p/${encodeURIComponent(project)}/${section}/${encodeURIComponent(uuid)}`;
  return (
    <Preview kind={kind} uuid={uuid}>
      <AnchorLink to={to as string}>{name}</AnchorLink>
    </Preview>
  );
}
