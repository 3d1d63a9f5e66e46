import { useLingui } from "@lingui/react/macro";
import { Button, Checkbox, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useCreateUser } from "@/api/users";
import { ErrorNotice } from "@/design/ErrorNotice";
import { NewPassword } from "../sign-in/NewPassword";
import { RoleSelect } from "./RoleSelect";

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Create an account with a first password, for people without e-mail. */
export function CreateUser({ opened, onClose }: Props) {
  const { t } = useLingui();
  return (
    <Modal opened={opened} onClose={onClose} title={t`Create account`}>
      {opened && <CreateForm onClose={onClose} />}
    </Modal>
  );
}

function CreateForm({ onClose }: Pick<Props, "onClose">) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const create = useCreateUser();
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("user");
  const [change, setChange] = useState(true);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(
      {
        username: username.trim(),
        email: email.trim(),
        password,
        role,
        must_change_password: change,
      },
      {
        onSuccess: (user) => {
          onClose();
          void navigate({ to: "/users/$user", params: { user: user.username } });
        },
      },
    );
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label={t`User name`}
          required
          withAsterisk={false}
          minLength={2}
          maxLength={50}
          autoComplete="off"
          value={username}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <TextInput
          type="email"
          label={t`E-mail address`}
          required
          withAsterisk={false}
          maxLength={100}
          autoComplete="off"
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
        />
        <NewPassword value={password} onChange={setPassword} />
        <Checkbox
          label={t`Must be changed at the first sign-in`}
          checked={change}
          onChange={(event) => setChange(event.currentTarget.checked)}
        />
        <RoleSelect value={role} onChange={setRole} />
        <ErrorNotice error={create.error} />
        <Group justify="flex-end" gap="sm">
          <Button variant="default" onClick={onClose}>
            {t`Cancel`}
          </Button>
          <Button type="submit" loading={create.isPending}>
            {t`Create account`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
