import { useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { IconMail } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import type { Schema } from "@/api/types";
import { invitationsOptions, useRevokeInvitation } from "@/api/users";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { useComplain } from "@/design/useComplain";
import { TimeAgo, TimeUntil } from "@/design/values";

type Invitation = Schema<"InvitationOut">;

interface Props {
  writable: boolean;
  onInvite: () => void;
}

/** Who was invited to an account, and what became of it. */
export function OpenInvitations({ writable, onInvite }: Props) {
  const { t } = useLingui();
  const complain = useComplain();
  const { data, error, refetch } = useQuery(invitationsOptions(false));
  const revoke = useRevokeInvitation();
  const labels: Record<string, string> = {
    open: t`Open`,
    accepted: t`Accepted`,
    expired: t`Expired`,
    revoked: t`Revoked`,
  };
  const looks: Record<string, string> = { open: "pending", accepted: "completed" };
  const columns: Column<Invitation>[] = [
    { id: "email", header: t`Address`, primary: true, cell: (invitation) => invitation.email },
    { id: "role", header: t`Role`, width: 120, cell: (invitation) => invitation.role },
    {
      id: "project",
      header: t`Project`,
      cell: ({ project }) => (project ? `${project.name} (${project.role})` : "–"),
    },
    {
      id: "by",
      header: t`Invited by`,
      width: 130,
      cell: (invitation) => <UserName user={invitation.invited_by} />,
    },
    {
      id: "status",
      header: t`Status`,
      width: 130,
      cell: ({ status }) => (
        <Status status={looks[status] ?? "cancelled"} label={labels[status] ?? status} />
      ),
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      cell: (invitation) => <TimeAgo time={invitation.created_at} />,
    },
    {
      id: "expires",
      header: t`Expires`,
      width: 120,
      cell: (invitation) => <TimeUntil time={invitation.expires_at} />,
    },
    ...(writable
      ? [
          {
            id: "revoke",
            header: "",
            width: 110,
            align: "right" as const,
            cell: (invitation: Invitation) =>
              invitation.status === "open" && (
                <Button
                  variant="subtle"
                  color="red"
                  onClick={() => revoke.mutate(invitation.uuid, { onError: complain })}
                >
                  {t`Revoke`}
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Invitations`}
          columns={columns}
          rows={data?.items}
          rowKey={(invitation) => invitation.uuid}
          empty={
            <EmptyState
              icon={<IconMail size={32} stroke={1.5} />}
              title={t`No invitations`}
              action={writable && <Button onClick={onInvite}>{t`Invite`}</Button>}
            >
              {t`An invitation is a link with which somebody creates their own account, with the role that you chose.`}
            </EmptyState>
          }
        />
      )}
    </>
  );
}
