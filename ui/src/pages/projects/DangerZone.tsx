import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useArchiveProject, useDeleteProject, useLeaveProject } from "@/api/projects";
import { useCan, useMe } from "@/api/session";
import type { Project } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";

/** Archive, leave or delete a project. */
export function DangerZone({ project }: { project: Project }) {
  const { t } = useLingui();
  const me = useMe();
  const can = useCan();
  const navigate = useNavigate();
  const archive = useArchiveProject(project.uuid);
  const leave = useLeaveProject(project.uuid);
  const remove = useDeleteProject(project.uuid);
  const [asking, setAsking] = useState(false);
  const owns = project.owner?.uuid === me.uuid;
  const archived = project.status === "archived";
  const goHome = () => void navigate({ to: "/projects" });
  if (!owns && !can("*"))
    return (
      <FormSection
        title={t`Leave`}
        description={t`You lose your role here. A member can invite you again.`}
      >
        <Group>
          <Button
            variant="default"
            loading={leave.isPending}
            onClick={() => leave.mutate(undefined, { onSuccess: goHome })}
          >
            {t`Leave the project`}
          </Button>
        </Group>
        <ErrorNotice error={leave.error} />
      </FormSection>
    );
  return (
    <>
      <FormSection
        title={t`Archive`}
        description={t`An archived project can be read, and nothing in it can be changed or started.`}
      >
        <Group>
          <Button
            variant="default"
            loading={archive.isPending}
            onClick={() => archive.mutate(!archived)}
          >
            {archived ? t`Make it active again` : t`Archive the project`}
          </Button>
        </Group>
        <ErrorNotice error={archive.error} />
      </FormSection>
      <FormSection
        title={t`Delete`}
        description={t`Datasets, experiments, models and deployments go with it. The bin keeps them for a while.`}
      >
        <Group>
          <Button color="red" variant="outline" onClick={() => setAsking(true)}>
            {t`Delete the project`}
          </Button>
        </Group>
      </FormSection>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete the project ${project.name}?`}
        action={t`Delete the project`}
        phrase={project.name}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(undefined, { onSuccess: goHome })}
      >
        <Text component="span" size="sm">
          {t`Its running tasks and deployments stop now. An administrator can restore it from the bin until the bin is emptied.`}
        </Text>
      </Confirm>
    </>
  );
}
