import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Text, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { myInvitationsOptions, useAnswerInvitation } from "@/api/inbox";
import { UserName } from "@/design/refs";
import { useComplain } from "@/design/useComplain";
import { TimeAgo } from "@/design/values";
import classes from "./Inbox.module.css";

/** The projects that the user is invited to, until they answer. */
export function Invitations() {
  const { t } = useLingui();
  const navigate = useNavigate();
  const complain = useComplain();
  const invitations = useQuery(myInvitationsOptions).data?.items ?? [];
  const answer = useAnswerInvitation();
  if (invitations.length === 0) return null;
  return (
    <section className={classes.invitations}>
      <Title order={2} mb="sm">
        {t`Invitations into projects`}
      </Title>
      {invitations.map((invitation) => (
        <Group key={invitation.uuid} gap="md" py="xs">
          <Text size="sm">
            <Trans>
              <UserName user={invitation.invited_by} /> invites you to{" "}
              <strong>{invitation.project_name}</strong> as {invitation.role}
            </Trans>
          </Text>
          <span className="secondary">
            <TimeAgo time={invitation.created_at} />
          </span>
          <Group gap="sm">
            <Button
              loading={answer.isPending && answer.variables.accept}
              onClick={() =>
                answer.mutate(
                  { invitation: invitation.uuid, accept: true },
                  {
                    onError: complain,
                    onSuccess: () =>
                      void navigate({
                        to: "/p/$project",
                        params: { project: invitation.project },
                      }),
                  },
                )
              }
            >
              {t`Join`}
            </Button>
            <Button
              variant="default"
              loading={answer.isPending && !answer.variables.accept}
              onClick={() =>
                answer.mutate(
                  { invitation: invitation.uuid, accept: false },
                  {
                    onError: complain,
                    onSuccess: () => notifications.show({ message: t`Declined` }),
                  },
                )
              }
            >
              {t`Decline`}
            </Button>
          </Group>
        </Group>
      ))}
    </section>
  );
}
