import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Select, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { projectsOptions } from "@/api/projects";
import { rolesOptions } from "@/api/roles";
import type { Schema } from "@/api/types";
import { useInvite } from "@/api/users";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ShownOnce } from "@/design/ShownOnce";
import { RoleSelect } from "./RoleSelect";

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Invite somebody by a link with which they create their own account. */
export function InviteUser({ opened, onClose }: Props) {
  const { t } = useLingui();
  const [made, setMade] = useState<Schema<"NewInvitationOut"> | null>(null);
  return (
    <>
      <Modal opened={opened} onClose={onClose} title={t`Invite`}>
        {opened && (
          <InviteForm
            onClose={onClose}
            onMade={(invitation) => {
              onClose();
              setMade(invitation);
            }}
          />
        )}
      </Modal>
      <ShownOnce
        value={made?.link ?? null}
        title={t`The link for ${made?.email ?? ""}`}
        onClose={() => setMade(null)}
      >
        {made?.sent
          ? t`It was also sent by e-mail. The person who opens it can create one account.`
          : t`Send it yourself, because the platform sends no e-mail. The person who opens it can create one account.`}
      </ShownOnce>
    </>
  );
}

interface FormProps {
  onClose: () => void;
  onMade: (invitation: Schema<"NewInvitationOut">) => void;
}

function InviteForm({ onClose, onMade }: FormProps) {
  const { t } = useLingui();
  const invite = useInvite();
  const projects = useQuery(projectsOptions("", "active")).data?.items ?? [];
  const roles = useQuery(rolesOptions).data?.items ?? [];
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("user");
  const [project, setProject] = useState<string | null>(null);
  const [projectRole, setProjectRole] = useState("viewer");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    invite.mutate(
      {
        email: email.trim(),
        role,
        ...(project && { project, project_role: projectRole }),
      },
      { onSuccess: onMade },
    );
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="md">
        <TextInput
          data-autofocus
          type="email"
          label={t`E-mail address`}
          required
          withAsterisk={false}
          maxLength={100}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
        />
        <RoleSelect value={role} onChange={setRole} />
        <Select
          label={t`Into a project as well`}
          clearable
          searchable
          placeholder={t`No project`}
          value={project}
          onChange={setProject}
          data={projects.map(({ uuid, name }) => ({ value: uuid, label: name }))}
        />
        {project && (
          <Select
            label={t`Role in the project`}
            value={projectRole}
            onChange={(value) => setProjectRole(value ?? "viewer")}
            data={roles.map(({ name }) => name)}
          />
        )}
        <ErrorNotice error={invite.error} />
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose}>
            {t`Cancel`}
          </Button>
          <Button type="submit" loading={invite.isPending}>
            {t`Create the link`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
