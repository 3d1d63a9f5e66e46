import { useLingui } from "@lingui/react/macro";
import {
  Button,
  Group,
  PasswordInput,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
  useMantineColorScheme,
} from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { type FormEvent, useState } from "react";
import { useChangeEmail } from "@/api/account";
import { useMe, useSso } from "@/api/session";
import { LOCALES, type Locale } from "@/app/locale";
import { type Theme, toScheme, useChoosePreferences } from "@/app/theme";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { Id, TimeAgo } from "@/design/values";

/** Who the user is to others, and how the pages look for them. */
export function Profile() {
  const { t } = useLingui();
  const me = useMe();
  const sso = useSso().data;
  return (
    <>
      <FormSection
        title={t`Identity`}
        description={t`Administrators change the user name and the role.`}
      >
        <TextInput label={t`User name`} readOnly value={me.username} />
        <TextInput label={t`Role on the platform`} readOnly value={me.role} />
        <Text size="sm" component="div">
          {t`Member since`} <TimeAgo time={me.created_at} /> · {t`Id`} <Id value={me.uuid} />
        </Text>
      </FormSection>
      <FormSection
        title={t`E-mail address`}
        description={t`Links that set a password, and messages that you chose, are sent there.`}
      >
        <EmailForm />
      </FormSection>
      <FormSection
        title={t`Language and theme`}
        description={t`They follow your account to every browser.`}
      >
        <LanguageAndTheme />
      </FormSection>
      <FormSection
        title={t`Single sign-on`}
        description={t`Sign in with the account of your organisation instead of a password.`}
      >
        <Text size="sm">
          {sso?.enabled
            ? t`You can sign in through ${sso.issuer ?? ""}. The accounts are linked when you first do, if both have the same confirmed address.`
            : t`This platform has no single sign-on. Administrators can set it up.`}
        </Text>
      </FormSection>
    </>
  );
}

function LanguageAndTheme() {
  const { t, i18n } = useLingui();
  const { colorScheme } = useMantineColorScheme();
  const { chooseLocale, chooseTheme } = useChoosePreferences(true);
  const themes: { value: Theme; label: string }[] = [
    { value: "light", label: t`Light` },
    { value: "dark", label: t`Dark` },
    { value: "system", label: t`Like the system` },
  ];
  return (
    <Stack gap="sm" align="flex-start">
      <SegmentedControl
        aria-label={t`Language`}
        data={Object.entries(LOCALES).map(([value, label]) => ({ value, label }))}
        value={i18n.locale}
        onChange={(locale) => void chooseLocale(locale as Locale)}
      />
      <SegmentedControl
        aria-label={t`Theme`}
        data={themes}
        value={themes.find(({ value }) => toScheme(value) === colorScheme)?.value ?? "system"}
        onChange={(theme) => chooseTheme(theme as Theme)}
      />
    </Stack>
  );
}

function EmailForm() {
  const { t } = useLingui();
  const me = useMe();
  const change = useChangeEmail();
  const [email, setEmail] = useState(me.email);
  const [password, setPassword] = useState("");
  const changed = email.trim() !== me.email;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(
      { email: email.trim(), password },
      {
        onSuccess: () => {
          setPassword("");
          notifications.show({ message: t`Saved` });
        },
      },
    );
  };
  return (
    <form onSubmit={submit}>
      <TextInput
        type="email"
        label={t`Address`}
        autoComplete="email"
        required
        withAsterisk={false}
        maxLength={100}
        value={email}
        onChange={(event) => setEmail(event.currentTarget.value)}
        mb="sm"
      />
      {changed && (
        <PasswordInput
          label={t`Your password, because links are sent to the address`}
          autoComplete="current-password"
          required
          withAsterisk={false}
          visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          mb="md"
        />
      )}
      <ErrorNotice error={change.error} />
      {changed && (
        <Group>
          <Button type="submit" loading={change.isPending} disabled={!password}>
            {t`Save`}
          </Button>
        </Group>
      )}
    </form>
  );
}
