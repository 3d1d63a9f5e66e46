import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useCan, useMe } from "@/api/session";
import { type UserDetails, useChangeUser, userOptions } from "@/api/users";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { FormSection } from "@/design/FormSection";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { Status } from "@/design/Status";
import { Id, TimeAgo } from "@/design/values";
import { RoleSelect } from "./RoleSelect";
import { UserAccess } from "./UserAccess";
import { UserDanger } from "./UserDanger";
import { UserKeys } from "./UserKeys";

/** One account: who it is, how it signs in, and the way to help or stop it. */
export function UserPage({ name }: { name: string }) {
  const { t } = useLingui();
  const can = useCan();
  const me = useMe();
  const user = useSuspenseQuery(userOptions(name)).data;
  const own = user.uuid === me.uuid;
  return (
    <>
      <PageHeader
        title={user.username}
        crumbs={[
          <AnchorLink key="users" to="/users">
            {t`Users`}
          </AnchorLink>,
        ]}
        aside={<Status status={user.is_active ? "active" : "inactive"} />}
        lead={
          own ? (
            <Trans>
              This is you. Your password, sessions and keys are on the{" "}
              <AnchorLink to="/account" underline="always">
                page of your account
              </AnchorLink>
              .
            </Trans>
          ) : user.is_active ? (
            user.must_change_password && t`Has to choose a password at the next sign-in.`
          ) : (
            t`Deactivated: can't sign in, and the keys are refused.`
          )
        }
      />
      <Figures
        items={[
          { label: t`Role`, value: user.role },
          { label: t`Second factor`, value: user.totp_enabled ? t`On` : t`Off` },
          {
            label: t`Last sign-in`,
            value: user.last_login_at ? <TimeAgo time={user.last_login_at} /> : t`never`,
          },
          { label: t`Created`, value: <TimeAgo time={user.created_at} /> },
          { label: t`Id`, value: <Id value={user.uuid} /> },
        ]}
      />
      <UserForm
        key={`${user.username} ${user.email} ${user.role}`}
        user={user}
        writable={can("users:write")}
        own={own}
      />
      {can("users:write") && !own && <UserAccess user={user} />}
      <FormSection
        title={t`API keys`}
        description={t`Programs that act for this account. Its owner is told when a key is revoked.`}
      >
        <UserKeys user={user} writable={can("users:write")} />
      </FormSection>
      {can("users:write") && !own && <UserDanger user={user} />}
    </>
  );
}

function UserForm({ user, writable, own }: { user: UserDetails; writable: boolean; own: boolean }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const change = useChangeUser(user.uuid);
  const [username, setUsername] = useState(user.username);
  const [email, setEmail] = useState(user.email);
  const [role, setRole] = useState(user.role);
  const changes = {
    ...(username.trim() !== user.username && { username: username.trim() }),
    ...(email.trim() !== user.email && { email: email.trim() }),
    ...(role !== user.role && { role }),
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(changes, {
      onSuccess: () => {
        notifications.show({ message: t`Saved` });
        if (changes.username)
          void navigate({
            to: "/users/$user",
            params: { user: changes.username },
            replace: true,
          });
      },
    });
  };
  return (
    <FormSection title={t`Account`} description={t`Nobody can change their own role.`}>
      <form onSubmit={submit}>
        <TextInput
          label={t`User name`}
          required
          withAsterisk={false}
          minLength={2}
          maxLength={50}
          readOnly={!writable}
          value={username}
          onChange={(event) => setUsername(event.currentTarget.value)}
          mb="sm"
        />
        <TextInput
          type="email"
          label={t`E-mail address`}
          required
          withAsterisk={false}
          maxLength={100}
          readOnly={!writable}
          value={email}
          onChange={(event) => setEmail(event.currentTarget.value)}
          mb="sm"
        />
        <RoleSelect value={role} onChange={setRole} readOnly={!writable || own} />
        <ErrorNotice error={change.error} />
        {writable && (
          <Group mt="md">
            <Button
              type="submit"
              disabled={Object.keys(changes).length === 0}
              loading={change.isPending}
            >
              {t`Save`}
            </Button>
          </Group>
        )}
      </form>
    </FormSection>
  );
}
