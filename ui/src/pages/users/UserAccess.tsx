import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import { type UserDetails, useEndUserSessions, useIssueReset, useRemoveTotp } from "@/api/users";
import { Confirm } from "@/design/Confirm";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { ShownOnce } from "@/design/ShownOnce";

/** Help somebody who can't sign in, or end what is open in their name. */
export function UserAccess({ user }: { user: UserDetails }) {
  const { t } = useLingui();
  const reset = useIssueReset(user.uuid);
  const end = useEndUserSessions(user.uuid);
  const removeTotp = useRemoveTotp(user.uuid);
  const [link, setLink] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  return (
    <>
      <FormSection
        title={t`Sign-in`}
        description={t`For somebody who forgot the password or lost the telephone.`}
      >
        <Group gap="sm">
          {user.is_active && (
            <Button
              variant="default"
              loading={reset.isPending}
              onClick={() => reset.mutate(undefined, { onSuccess: (made) => setLink(made.link) })}
            >
              {t`Create a link that resets the password`}
            </Button>
          )}
          <Button
            variant="default"
            loading={end.isPending}
            onClick={() =>
              end.mutate(undefined, {
                onSuccess: ({ ended }) =>
                  notifications.show({
                    message: (
                      <Plural value={ended} one="# session ended" other="# sessions ended" />
                    ),
                  }),
              })
            }
          >
            {t`End all sessions`}
          </Button>
          {user.totp_enabled && (
            <Button color="red" variant="outline" onClick={() => setAsking(true)}>
              {t`Remove the second factor`}
            </Button>
          )}
        </Group>
        <ErrorNotice error={reset.error ?? end.error} />
      </FormSection>
      <ShownOnce
        value={link}
        title={t`The link for ${user.username}`}
        onClose={() => setLink(null)}
      >
        {t`Hand it over yourself. It sets a new password once, and ends all sessions.`}
      </ShownOnce>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Remove the second factor of ${user.username}?`}
        action={t`Remove`}
        pending={removeTotp.isPending}
        error={removeTotp.error}
        onConfirm={() => removeTotp.mutate(undefined, { onSuccess: () => setAsking(false) })}
      >
        {t`Then the password alone is enough to sign in. Make sure that it is really this person who asks.`}
      </Confirm>
    </>
  );
}
