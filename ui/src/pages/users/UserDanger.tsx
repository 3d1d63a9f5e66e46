import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import {
  ownedProjectsOptions,
  type UserDetails,
  useActivateUser,
  useDeleteUser,
} from "@/api/users";
import { Confirm } from "@/design/Confirm";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";

/** Deactivate or delete an account. */
export function UserDanger({ user }: { user: UserDetails }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const activate = useActivateUser(user.uuid);
  const remove = useDeleteUser(user.uuid);
  const [asking, setAsking] = useState(false);
  const [heir, setHeir] = useState("");
  const owned = useQuery({ ...ownedProjectsOptions(user.uuid), enabled: asking }).data ?? [];
  return (
    <>
      <FormSection
        title={user.is_active ? t`Deactivate` : t`Reactivate`}
        description={
          user.is_active
            ? t`All requests are refused immediately. Nothing is lost; you can reactivate the account.`
            : t`The account can sign in again. Former sessions stay ended.`
        }
      >
        <Group>
          <Button
            variant="default"
            loading={activate.isPending}
            onClick={() => activate.mutate(!user.is_active)}
          >
            {user.is_active ? t`Deactivate the account` : t`Reactivate the account`}
          </Button>
        </Group>
        <ErrorNotice error={activate.error} />
      </FormSection>
      <FormSection
        title={t`Delete`}
        description={t`This is permanent. What the account created is kept, without an author.`}
      >
        <Group>
          <Button color="red" variant="outline" onClick={() => setAsking(true)}>
            {t`Delete the account`}
          </Button>
        </Group>
      </FormSection>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete the account ${user.username}?`}
        action={t`Delete the account`}
        phrase={user.username}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() =>
          remove.mutate(heir.trim() || null, {
            onSuccess: () => void navigate({ to: "/users" }),
          })
        }
      >
        <Stack component="span" gap="sm">
          <Text component="span" size="sm">
            {t`This can't be undone. To keep somebody out for a while, deactivate the account instead.`}
          </Text>
          {owned.length > 0 && (
            <Text component="span" size="sm">
              <Plural
                value={owned.length}
                one="It owns a project, which needs another owner: "
                other="It owns # projects, which need another owner: "
              />
              {owned.map(({ name }) => name).join(", ")}
            </Text>
          )}
          <TextInput
            label={t`Who gets its projects`}
            description={t`User name. Leave it empty if the account owns none.`}
            value={heir}
            onChange={(event) => setHeir(event.currentTarget.value)}
          />
        </Stack>
      </Confirm>
    </>
  );
}
