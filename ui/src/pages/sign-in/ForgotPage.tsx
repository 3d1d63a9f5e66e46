import { useLingui } from "@lingui/react/macro";
import { Button, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useForgotPassword } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { EntryFrame } from "./EntryFrame";

/** Ask for a link that sets a new password. */
export function ForgotPage() {
  const { t } = useLingui();
  const forgot = useForgotPassword();
  const [email, setEmail] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    forgot.mutate({ body: { email: email.trim() } });
  };
  return (
    <EntryFrame title={t`Forgot your password?`}>
      {forgot.isSuccess ? (
        <Text role="status">
          {t`If there is an account with this address, a link is on its way. If nothing comes, ask your administrator for one.`}
        </Text>
      ) : (
        <form onSubmit={submit}>
          <Stack gap="md">
            <TextInput
              type="email"
              label={t`E-mail`}
              description={t`You will get a link with which you can set a new password.`}
              autoComplete="email"
              autoFocus
              required
              withAsterisk={false}
              value={email}
              onChange={(event) => setEmail(event.currentTarget.value)}
            />
            <ErrorNotice error={forgot.error} />
            <Button type="submit" size="sm" loading={forgot.isPending}>
              {t`Send the link`}
            </Button>
          </Stack>
        </form>
      )}
      <Text size="sm" mt="md">
        <AnchorLink to="/sign-in">{t`Back to the sign-in`}</AnchorLink>
      </Text>
    </EntryFrame>
  );
}
