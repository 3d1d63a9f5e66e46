import { useLingui } from "@lingui/react/macro";
import { Button, PasswordInput, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { sessionOptions, useChangePassword, useSession } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { EntryFrame } from "./EntryFrame";
import { NewPassword } from "./NewPassword";
import { localPath } from "./next";

/** Change the password: at the first sign-in because one must, later because one wants to. */
export function PasswordPage({ next }: { next: string | undefined }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const forced = useSession()?.user.must_change_password ?? false;
  const change = useChangePassword();
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(
      { body: { current_password: current, new_password: fresh } },
      {
        onSuccess: async () => {
          await queries.fetchQuery({ ...sessionOptions, staleTime: 0 });
          await navigate({ to: localPath(next) });
        },
      },
    );
  };
  return (
    <EntryFrame title={forced ? t`Choose your own password` : t`Change password`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm" c="dimmed">
            {forced
              ? t`The password you signed in with was given to you. Replace it; then you can begin.`
              : t`Your other sessions will end; this one continues.`}
          </Text>
          <PasswordInput
            label={t`Current password`}
            autoComplete="current-password"
            autoFocus
            required
            withAsterisk={false}
            visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
            value={current}
            onChange={(event) => setCurrent(event.currentTarget.value)}
          />
          <NewPassword value={fresh} onChange={setFresh} />
          <ErrorNotice error={change.error} />
          <Button type="submit" size="sm" loading={change.isPending}>
            {t`Set the password`}
          </Button>
        </Stack>
      </form>
    </EntryFrame>
  );
}
