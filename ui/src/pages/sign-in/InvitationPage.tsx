import { useLingui } from "@lingui/react/macro";
import { Button, Stack, Text, TextInput } from "@mantine/core";
import { useLocation, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useAcceptInvitation, useSignIn } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { EntryFrame } from "./EntryFrame";
import { NewPassword } from "./NewPassword";

/** Create the account that an invitation promises, and begin. The token follows the `#`. */
export function InvitationPage() {
  const { t } = useLingui();
  const token = useLocation().hash;
  const navigate = useNavigate();
  const accept = useAcceptInvitation();
  const signIn = useSignIn();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await accept.mutateAsync({ body: { token, username: username.trim(), password } });
      await signIn.mutateAsync({ username: username.trim(), password });
      await navigate({ to: "/" });
    } catch {
      // Both mutations keep their error, which is shown below.
    }
  };
  return (
    <EntryFrame title={t`Create your account`}>
      {token ? (
        <form onSubmit={(event) => void submit(event)}>
          <Stack gap="md">
            <Text size="sm" c="dimmed">
              {t`You were invited to AI Platform. Choose how you will sign in.`}
            </Text>
            <TextInput
              label={t`User name`}
              autoComplete="username"
              autoFocus
              required
              withAsterisk={false}
              value={username}
              onChange={(event) => setUsername(event.currentTarget.value)}
            />
            <NewPassword value={password} onChange={setPassword} />
            <ErrorNotice error={accept.error ?? signIn.error} />
            <Button type="submit" size="sm" loading={accept.isPending || signIn.isPending}>
              {t`Create the account`}
            </Button>
          </Stack>
        </form>
      ) : (
        <Text>{t`This link is incomplete. Open it from the invitation again, or ask the person who invited you for a new one.`}</Text>
      )}
    </EntryFrame>
  );
}
