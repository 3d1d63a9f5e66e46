import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, MultiSelect, Stack, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import type { Project, Schema } from "@/api/types";
import { useCreateWebhook } from "@/api/webhooks";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useDraft } from "@/design/useDraft";
import { useWebhookEvents } from "./events";

interface Props {
  project: Project;
  opened: boolean;
  onClose: () => void;
  onCreated: (webhook: Schema<"NewWebhookOut">) => void;
}

/** Create a webhook; name and address are enough. */
export function CreateWebhook({ project, opened, onClose, onCreated }: Props) {
  const { t } = useLingui();
  const create = useCreateWebhook(project.uuid);
  const options = useWebhookEvents();
  const [draft, setDraft, clear] = useDraft(`webhook-${project.uuid}`, { name: "", url: "" });
  const [events, setEvents] = useState<Schema<"NotificationType">[]>([]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(
      { name: draft.name.trim(), url: draft.url.trim(), events },
      {
        onSuccess: (made) => {
          clear();
          setEvents([]);
          onCreated(made);
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t`Create webhook`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Name`}
            required
            withAsterisk={false}
            maxLength={100}
            value={draft.name}
            onChange={(event) => setDraft({ ...draft, name: event.currentTarget.value })}
          />
          <TextInput
            type="url"
            label={t`Address`}
            description={t`Of the program that receives the events. Private addresses are refused.`}
            placeholder="https://"
            required
            withAsterisk={false}
            maxLength={2000}
            value={draft.url}
            onChange={(event) => setDraft({ ...draft, url: event.currentTarget.value })}
          />
          <MultiSelect
            label={t`Events`}
            description={t`Empty: all of them.`}
            searchable
            clearable
            value={events}
            data={options}
            onChange={(chosen) => setEvents(chosen as Schema<"NotificationType">[])}
          />
          <ErrorNotice error={create.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={create.isPending}>
              {t`Create webhook`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
