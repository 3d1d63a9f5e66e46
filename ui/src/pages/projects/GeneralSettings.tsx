import { useLingui } from "@lingui/react/macro";
import { Button, Group, Textarea, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { projectParam, useCanHere, useChangeProject } from "@/api/projects";
import type { Project } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";

/** Name and description of a project. */
export function GeneralSettings({ project }: { project: Project }) {
  const { t } = useLingui();
  const can = useCanHere();
  const navigate = useNavigate();
  const change = useChangeProject(project.uuid);
  const [name, setName] = useState(project.name);
  const [description, setDescription] = useState(project.description ?? "");
  const writable = can("projects:write");
  const changed = name !== project.name || description !== (project.description ?? "");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(
      {
        // Only what was changed here: somebody else may change the other meanwhile.
        ...(name.trim() !== project.name && { name: name.trim() }),
        ...(description !== (project.description ?? "") && {
          description: description.trim() || null,
        }),
      },
      {
        onSuccess: () => {
          notifications.show({ message: t`Saved` });
          const param = projectParam({ name: name.trim(), uuid: project.uuid });
          void navigate({ to: "/p/$project/settings", params: { project: param }, replace: true });
        },
      },
    );
  };
  return (
    <FormSection title={t`About`} description={t`What the project is called and what it is for.`}>
      <form onSubmit={submit}>
        <TextInput
          label={t`Name`}
          required
          withAsterisk={false}
          maxLength={100}
          readOnly={!writable}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          mb="sm"
        />
        <Textarea
          label={t`Description`}
          rows={3}
          readOnly={!writable}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
          mb="md"
        />
        <ErrorNotice error={change.error} />
        {writable && (
          <Group mt="sm">
            <Button type="submit" disabled={!changed || !name.trim()} loading={change.isPending}>
              {t`Save`}
            </Button>
          </Group>
        )}
      </form>
    </FormSection>
  );
}
