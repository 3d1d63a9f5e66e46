import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Group, Modal, Stack, Switch, Text, TextInput, Tooltip } from "@mantine/core";
import { IconTrash } from "@tabler/icons-react";
import { useState } from "react";
import { useCanHere, useProject } from "@/api/projects";
import { useMe } from "@/api/session";
import { type SavedView, useChangeView, useDeleteView } from "@/api/views";
import { ErrorNotice } from "../ErrorNotice";

interface Props {
  opened: boolean;
  onClose: () => void;
  views: SavedView[];
}

/** Rename, share and delete views. Those of others can be changed by who may change the project. */
export function ManageViews({ opened, onClose, views }: Props) {
  const { t } = useLingui();
  const me = useMe();
  const can = useCanHere();
  const changeable = views.filter((view) => view.user.uuid === me.uuid || can("projects:write"));
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t`Manage views`}
      size="lg"
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      <Stack gap="sm">
        {changeable.length === 0 && (
          <Text size="sm">{t`These views were shared by others. Only they, and those who may change the project, can change them.`}</Text>
        )}
        {changeable.map((view) => (
          <ViewRow key={view.uuid} view={view} foreign={view.user.uuid !== me.uuid} />
        ))}
      </Stack>
    </Modal>
  );
}

function ViewRow({ view, foreign }: { view: SavedView; foreign: boolean }) {
  const { t } = useLingui();
  const project = useProject().uuid;
  const change = useChangeView(project);
  const remove = useDeleteView(project);
  const [name, setName] = useState(view.name);
  // The switch moves immediately, and moves back if the platform refuses.
  const shared = (change.isPending ? change.variables.shared : undefined) ?? view.shared;
  const rename = () => {
    const wanted = name.trim();
    if (!wanted) setName(view.name);
    else if (wanted !== view.name) change.mutate({ view: view.uuid, name: wanted });
  };
  return (
    <div>
      <Group gap="sm" wrap="nowrap">
        <TextInput
          size="xs"
          flex={1}
          aria-label={t`Name of ${view.name}`}
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          onBlur={rename}
          onKeyDown={(event) => {
            if (event.key === "Enter") rename();
          }}
        />
        {foreign && (
          <Text size="sm" c="dimmed">
            {view.user.username}
          </Text>
        )}
        <Switch
          size="xs"
          label={t`Shared`}
          aria-label={t`Share ${view.name}`}
          checked={shared}
          onChange={(event) =>
            change.mutate({ view: view.uuid, shared: event.currentTarget.checked })
          }
        />
        <Tooltip label={t`Delete`}>
          <ActionIcon
            aria-label={t`Delete ${view.name}`}
            loading={remove.isPending}
            onClick={() => remove.mutate(view.uuid)}
          >
            <IconTrash size={16} />
          </ActionIcon>
        </Tooltip>
      </Group>
      <ErrorNotice error={change.error ?? remove.error} />
    </div>
  );
}
