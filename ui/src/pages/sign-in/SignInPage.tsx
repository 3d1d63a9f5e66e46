import { useLingui } from "@lingui/react/macro";
import { Button, Divider, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { codeOf } from "@/api/problem";
import { useSignIn, useSso } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { EntryFrame } from "./EntryFrame";
import { localPath } from "./next";
import { startSso } from "./sso";

/** Sign in with a password, a second factor where the account has one, or single sign-on. */
export function SignInPage({ next }: { next: string | undefined }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const signIn = useSignIn();
  const sso = useSso();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [needsCode, setNeedsCode] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const body = {
      username: username.trim(),
      password,
      ...(needsCode ? { code: code.trim() } : {}),
    };
    signIn.mutate(body, {
      onSuccess: (session) => {
        const target = localPath(next);
        if (session.user.must_change_password)
          void navigate({ to: "/password", search: { next: target } });
        else void navigate({ to: target });
      },
      onError: (error) => {
        if (codeOf(error) === "auth.totp_required") setNeedsCode(true);
      },
    });
  };
  const asked = codeOf(signIn.error) === "auth.totp_required";
  return (
    <EntryFrame title={t`Sign in`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            label={t`User name`}
            autoComplete="username"
            autoFocus
            required
            withAsterisk={false}
            value={username}
            onChange={(event) => setUsername(event.currentTarget.value)}
          />
          <PasswordInput
            label={t`Password`}
            autoComplete="current-password"
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          {needsCode && (
            <TextInput
              label={t`Code`}
              description={t`The six digits in your authenticator app, or a recovery code`}
              autoComplete="one-time-code"
              inputMode="text"
              autoFocus
              required
              withAsterisk={false}
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
          )}
          {!asked && <ErrorNotice error={signIn.error} />}
          <Button type="submit" size="sm" loading={signIn.isPending}>
            {t`Sign in`}
          </Button>
          {sso.data?.enabled && (
            <>
              <Divider label={t`or`} />
              <Button variant="default" size="sm" onClick={() => void startSso(localPath(next))}>
                {t`Continue with single sign-on`}
              </Button>
            </>
          )}
          <Text size="sm">
            <AnchorLink to="/forgot-password">{t`Forgot your password?`}</AnchorLink>
          </Text>
        </Stack>
      </form>
    </EntryFrame>
  );
}
