import { useLingui } from "@lingui/react/macro";
import { Button, Group, Select, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { membersOptions, useTransferProject } from "@/api/projects";
import { useCan, useMe } from "@/api/session";
import type { Project } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { FormSection } from "@/design/FormSection";

type Kept = "admin" | "developer" | "viewer";

/** Make another member the owner of a project. */
export function Transfer({ project }: { project: Project }) {
  const { t } = useLingui();
  const me = useMe();
  const can = useCan();
  const navigate = useNavigate();
  const transfer = useTransferProject(project.uuid);
  const owns = project.owner?.uuid === me.uuid;
  const allowed = owns || can("*");
  const members = useQuery({ ...membersOptions(project.uuid), enabled: allowed }).data?.items ?? [];
  const [heir, setHeir] = useState<string | null>(null);
  const [kept, setKept] = useState<Kept | "">("admin");
  const [asking, setAsking] = useState(false);
  if (!allowed) return null;
  const others = members.filter(({ user }) => user.uuid !== project.owner?.uuid);
  const name = others.find(({ user }) => user.uuid === heir)?.user.username ?? "";
  return (
    <>
      <FormSection
        title={t`Transfer`}
        description={t`The owner may do everything in the project, delete it included.`}
      >
        {others.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t`Nobody else is a member. Invite the future owner first.`}
          </Text>
        ) : (
          <>
            <Select
              label={t`New owner`}
              searchable
              value={heir}
              onChange={setHeir}
              data={others.map(({ user }) => ({ value: user.uuid, label: user.username }))}
            />
            <Select
              label={owns ? t`The role that you keep` : t`The role that the present owner keeps`}
              value={kept}
              onChange={(value) => setKept((value ?? "") as Kept | "")}
              data={[
                { value: "admin", label: "admin" },
                { value: "developer", label: "developer" },
                { value: "viewer", label: "viewer" },
                { value: "", label: t`none` },
              ]}
            />
            <Group>
              <Button variant="default" disabled={!heir} onClick={() => setAsking(true)}>
                {t`Transfer the project`}
              </Button>
            </Group>
          </>
        )}
      </FormSection>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Transfer ${project.name} to ${name}?`}
        action={t`Transfer the project`}
        pending={transfer.isPending}
        error={transfer.error}
        onConfirm={() =>
          heir &&
          transfer.mutate(
            { user: heir, keep_role: kept || null },
            {
              onSuccess: () => {
                setAsking(false);
                if (owns && !kept) void navigate({ to: "/projects" });
              },
            },
          )
        }
      >
        {t`Only the new owner can give it back.`}
      </Confirm>
    </>
  );
}
