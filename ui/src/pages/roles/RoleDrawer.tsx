import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Drawer, Group, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { covers } from "@/api/permissions";
import {
  type PermissionEntry,
  type Role,
  roleOptions,
  useChangeRole,
  useCreateRole,
  useDeleteRole,
} from "@/api/roles";
import { useCan, useMe } from "@/api/session";
import { Confirm } from "@/design/Confirm";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Figures } from "@/design/Figures";
import { PageSkeleton } from "@/design/Skeletons";
import { Num, TimeAgo } from "@/design/values";
import { PermissionPicker } from "./PermissionPicker";

interface Props {
  /** Name of the role; an empty one is being created. */
  role: string | undefined;
  permissions: readonly PermissionEntry[];
  onClose: () => void;
}

/** One role: who has it, and what it allows. Custom roles can be changed here. */
export function RoleDrawer({ role, permissions, onClose }: Props) {
  const { t } = useLingui();
  return (
    <Drawer
      opened={role !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={role === "" ? t`Create role` : role}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {role === "" && <CreateForm permissions={permissions} onClose={onClose} />}
      {role && <Existing key={role} name={role} permissions={permissions} onClose={onClose} />}
    </Drawer>
  );
}

type Inner = Omit<Props, "role">;

/** Return the permissions that the user holds and so may give to others. */
function useGivable(permissions: readonly PermissionEntry[]): readonly PermissionEntry[] {
  const can = useCan();
  return permissions.filter((entry) => can(entry.permission));
}

function CreateForm({ permissions, onClose }: Inner) {
  const { t } = useLingui();
  const me = useMe();
  const create = useCreateRole();
  const givable = useGivable(permissions);
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(
      { name: name.trim(), description: description.trim() || null, permissions: chosen },
      { onSuccess: onClose },
    );
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label={t`Name`}
          description={t`Small letters, figures, hyphens: annotator, team-lead.`}
          required
          withAsterisk={false}
          minLength={2}
          maxLength={50}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <Textarea
          label={t`Description`}
          description={t`For whom the role is; those who give it read this.`}
          rows={2}
          maxLength={1000}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        <PermissionPicker
          label={t`Permissions`}
          permissions={givable}
          wildcards={covers(me.permissions, "*")}
          value={chosen}
          onChange={setChosen}
        />
        <ErrorNotice error={create.error} />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={chosen.length === 0}>
            {t`Create role`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Existing({ name, permissions, onClose }: Inner & { name: string }) {
  const { data, error, refetch } = useQuery(roleOptions(name));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return (
    <Details
      // A changed version begins the form anew.
      key={data.version}
      role={data.value}
      version={data.version}
      permissions={permissions}
      onClose={onClose}
    />
  );
}

function Details({ role, version, permissions, onClose }: Inner & { role: Role; version: string }) {
  const { t } = useLingui();
  const can = useCan();
  const change = useChangeRole(role.name);
  const remove = useDeleteRole();
  const [description, setDescription] = useState(role.description ?? "");
  const [chosen, setChosen] = useState(role.permissions);
  const [asking, setAsking] = useState(false);
  // Nobody changes a role with permissions beyond their own.
  const writable =
    can("roles:write") && !role.is_system && role.permissions.every((held) => can(held));
  const givable = useGivable(permissions);
  const changed =
    description !== (role.description ?? "") ||
    [...chosen].sort().join() !== [...role.permissions].sort().join();
  const used = role.uses ? role.uses.users + role.uses.members + role.uses.invitations : 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate({ version, description: description.trim() || null, permissions: chosen });
  };
  return (
    <>
      <form onSubmit={submit}>
        <Stack gap="md">
          {role.is_system && (
            <Text size="sm" c="dimmed">
              {t`A system role; it never changes. Create another role for other needs.`}
            </Text>
          )}
          {role.uses && (
            <Figures
              items={[
                { label: t`Users`, value: <Num value={role.uses.users} /> },
                { label: t`Members of projects`, value: <Num value={role.uses.members} /> },
                { label: t`Open invitations`, value: <Num value={role.uses.invitations} /> },
                { label: t`Created`, value: <TimeAgo time={role.created_at} /> },
              ]}
            />
          )}
          <Textarea
            label={t`Description`}
            rows={2}
            maxLength={1000}
            readOnly={!writable}
            value={description}
            onChange={(event) => setDescription(event.currentTarget.value)}
          />
          <PermissionPicker
            label={t`Permissions`}
            permissions={writable ? givable : permissions}
            wildcards={!writable || can("*")}
            value={chosen}
            onChange={setChosen}
            readOnly={!writable}
          />
          <ErrorNotice error={change.error} />
          {writable && (
            <Group justify="space-between">
              <Button color="red" variant="outline" onClick={() => setAsking(true)}>
                {t`Delete role`}
              </Button>
              <Button
                type="submit"
                loading={change.isPending}
                disabled={!changed || chosen.length === 0}
              >
                {t`Save`}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete the role ${role.name}?`}
        action={t`Delete role`}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(role.name, { onSuccess: onClose })}
      >
        {used > 0 ? (
          <Plural
            value={used}
            one="# user, member or invitation has this role: it can't be deleted before they get another."
            other="# users, members and invitations have this role: it can't be deleted before they get another."
          />
        ) : (
          t`Nobody has this role.`
        )}
      </Confirm>
    </>
  );
}
