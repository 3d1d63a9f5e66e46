import { useLingui } from "@lingui/react/macro";
import { Button, Stack, Text } from "@mantine/core";
import { useLocation } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useResetPassword } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { EntryFrame } from "./EntryFrame";
import { NewPassword } from "./NewPassword";

/** Set a new password with the link that came by e-mail. Its token follows the `#`. */
export function ResetPage() {
  const { t } = useLingui();
  const token = useLocation().hash;
  const reset = useResetPassword();
  const [password, setPassword] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    reset.mutate({ body: { token, new_password: password } });
  };
  return (
    <EntryFrame title={t`Set a new password`}>
      {reset.isSuccess ? (
        <Stack gap="md" align="flex-start">
          <Text role="status">{t`Your new password is set. All earlier sessions have ended.`}</Text>
          <ButtonLink to="/sign-in">{t`Sign in`}</ButtonLink>
        </Stack>
      ) : token ? (
        <form onSubmit={submit}>
          <Stack gap="md">
            <NewPassword value={password} onChange={setPassword} />
            <ErrorNotice error={reset.error} />
            <Button type="submit" size="sm" loading={reset.isPending}>
              {t`Set the password`}
            </Button>
          </Stack>
        </form>
      ) : (
        <Text>
          {t`This link is incomplete. Open it from the e-mail again, or`}{" "}
          <AnchorLink to="/forgot-password">{t`ask for a new one`}</AnchorLink>
        </Text>
      )}
    </EntryFrame>
  );
}
