import { useLingui } from "@lingui/react/macro";
import { Button, Group, Popover, Select, Text, TextInput, Title } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ProblemError } from "@/api/problem";
import {
  membersOptions,
  projectInvitationsOptions,
  useCanHere,
  useRemoveMember,
  useSetMember,
} from "@/api/projects";
import type { Member, Project } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { UserName } from "@/design/refs";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";
import { WhyAccess } from "./WhyAccess";

const ROLES = ["viewer", "developer", "admin"];

/** Who may do what in a project. */
export function Members({ project }: { project: Project }) {
  const { t } = useLingui();
  const can = useCanHere();
  const members = useQuery(membersOptions(project.uuid));
  const writable = can("members:write");
  const setMember = useSetMember(project.uuid);
  const remove = useRemoveMember(project.uuid);
  const complain = (error: unknown) =>
    notifications.show({
      color: "red",
      title: t`This did not work`,
      message:
        error instanceof ProblemError ? error.problem.detail : t`The platform does not answer.`,
    });
  const isOwner = (member: Member) => member.user.uuid === project.owner?.uuid;
  const columns: Column<Member>[] = [
    {
      id: "user",
      header: t`User`,
      primary: true,
      cell: (member) => <UserName user={member.user} />,
    },
    {
      id: "role",
      header: t`Role`,
      width: 180,
      cell: (member) =>
        writable && !isOwner(member) ? (
          <Select
            size="xs"
            aria-label={t`Role of ${member.user.username}`}
            value={member.role}
            data={[...new Set([...ROLES, member.role])]}
            onChange={(role) =>
              role && setMember.mutate({ user: member.user.uuid, role }, { onError: complain })
            }
          />
        ) : (
          member.role
        ),
    },
    {
      id: "joined",
      header: t`Joined`,
      width: 140,
      cell: (member) => <TimeAgo time={member.created_at} />,
    },
    {
      id: "why",
      header: t`Permissions`,
      width: 160,
      cell: (member) => (
        <Popover width={420} position="bottom-end" shadow="md">
          <Popover.Target>
            <Button variant="subtle">{t`What may they do?`}</Button>
          </Popover.Target>
          <Popover.Dropdown>
            <WhyAccess project={project.uuid} user={member.user.uuid} />
          </Popover.Dropdown>
        </Popover>
      ),
    },
    ...(writable
      ? [
          {
            id: "remove",
            header: "",
            width: 100,
            cell: (member: Member) =>
              isOwner(member) ? null : (
                <Button
                  variant="subtle"
                  color="red"
                  onClick={() => remove.mutate(member.user.uuid, { onError: complain })}
                >
                  {t`Remove`}
                </Button>
              ),
          },
        ]
      : []),
  ];
  return (
    <>
      {writable && <Invite project={project} />}
      <ErrorNotice error={members.error} onRetry={() => void members.refetch()} />
      <DataTable
        label={t`Members`}
        columns={columns}
        rows={members.data?.items}
        rowKey={(member) => member.user.uuid}
      />
      {writable && <Invited project={project} />}
    </>
  );
}

/** Give somebody a role. Who is no member yet becomes one by accepting. */
function Invite({ project }: { project: Project }) {
  const { t } = useLingui();
  const setMember = useSetMember(project.uuid);
  const [user, setUser] = useState("");
  const [role, setRole] = useState("viewer");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setMember.mutate(
      { user: user.trim(), role },
      {
        onSuccess: () => {
          notifications.show({ message: t`${user} is a member now, or will be after accepting.` });
          setUser("");
        },
      },
    );
  };
  return (
    <form onSubmit={submit}>
      <Group gap="sm" align="flex-end" mb="md">
        <TextInput
          size="xs"
          label={t`User name`}
          required
          withAsterisk={false}
          value={user}
          onChange={(event) => setUser(event.currentTarget.value)}
        />
        <Select
          size="xs"
          label={t`Role`}
          data={ROLES}
          value={role}
          onChange={(value) => setRole(value ?? "viewer")}
        />
        <Button type="submit" loading={setMember.isPending}>
          {t`Invite`}
        </Button>
      </Group>
      <ErrorNotice error={setMember.error} />
    </form>
  );
}

/** Who was invited and has not answered. */
function Invited({ project }: { project: Project }) {
  const { t } = useLingui();
  const invited = useQuery(projectInvitationsOptions(project.uuid)).data?.items ?? [];
  const withdraw = useRemoveMember(project.uuid);
  if (invited.length === 0) return null;
  return (
    <section>
      <Title order={2} mt="lg" mb="sm">
        {t`Invited`}
      </Title>
      {invited.map((invitation) => (
        <Group key={invitation.uuid} gap="md" mb="xs">
          <Text size="sm">{invitation.username}</Text>
          <Text size="sm" c="dimmed">
            {invitation.role}
          </Text>
          <TimeAgo time={invitation.created_at} />
          <Button variant="subtle" onClick={() => withdraw.mutate(invitation.username)}>
            {t`Withdraw`}
          </Button>
        </Group>
      ))}
    </section>
  );
}
