import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Textarea, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { projectParam, useCreateProject } from "@/api/projects";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useDraft } from "@/design/useDraft";

/** Create a project; its name is enough. */
export function CreateProject({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const create = useCreateProject();
  const [draft, setDraft, clear] = useDraft("create-project", { name: "", description: "" });
  const [touched, setTouched] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (!draft.name.trim()) return;
    create.mutate(
      { name: draft.name.trim(), description: draft.description.trim() || null },
      {
        onSuccess: (project) => {
          clear();
          onClose();
          void navigate({ to: "/p/$project", params: { project: projectParam(project) } });
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t`Create project`}>
      <form onSubmit={submit} noValidate>
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Name`}
            required
            withAsterisk={false}
            maxLength={100}
            error={touched && !draft.name.trim() && t`Give the project a name.`}
            value={draft.name}
            onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
          />
          <Textarea
            label={t`Description`}
            description={t`What the project is for; members read it first.`}
            rows={3}
            value={draft.description}
            onChange={(event) => setDraft({ ...draft, description: event.currentTarget.value })}
          />
          <ErrorNotice error={create.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={create.isPending}>
              {t`Create project`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
