import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Switch, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useProject } from "@/api/projects";
import { type ListPage, type SavedView, useChangeView, useSaveView } from "@/api/views";
import { ErrorNotice } from "../ErrorNotice";
import { savedState } from "./sameState";

interface Props {
  opened: boolean;
  onClose: () => void;
  list: ListPage;
  search: object;
  /** The user's own views of the list. */
  views: SavedView[];
}

/** Give the present state of a list a name. The name of an own view replaces that view. */
export function SaveView({ opened, onClose, list, search, views }: Props) {
  const { t } = useLingui();
  const project = useProject().uuid;
  const create = useSaveView(project);
  const change = useChangeView(project);
  const [typed, setTyped] = useState("");
  const [shared, setShared] = useState(false);
  const name = typed.trim();
  const same = views.find((view) => view.name === name);
  const close = () => {
    setTyped("");
    setShared(false);
    create.reset();
    change.reset();
    onClose();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const state = savedState(search);
    if (same) change.mutate({ view: same.uuid, state, shared }, { onSuccess: close });
    else create.mutate({ page: list, name, state, shared }, { onSuccess: close });
  };
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={t`Save this view`}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Name`}
            description={t`The filters, the order and the columns as they are now.`}
            maxLength={100}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
          />
          <Switch
            label={t`Share with the project`}
            description={t`Everyone in the project sees the view.`}
            checked={shared}
            onChange={(event) => setShared(event.currentTarget.checked)}
          />
          <ErrorNotice error={create.error ?? change.error} />
          <Group justify="flex-end">
            <Button type="submit" disabled={!name} loading={create.isPending || change.isPending}>
              {same ? t`Replace` : t`Save`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
