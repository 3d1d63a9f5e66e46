import { useLingui } from "@lingui/react/macro";
import { Alert, Button, Drawer, Group, MultiSelect, Stack, Switch, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Schema } from "@/api/types";
import {
  useChangeWebhook,
  useDeleteWebhook,
  useRotateSecret,
  useTestWebhook,
  type Webhook,
  webhookOptions,
} from "@/api/webhooks";
import { Confirm } from "@/design/Confirm";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageSkeleton } from "@/design/Skeletons";
import { useComplain } from "@/design/useComplain";
import { Deliveries } from "./Deliveries";
import { useWebhookEvents } from "./events";

interface Props {
  webhook: string | undefined;
  writable: boolean;
  onClose: () => void;
  /** Gets a new secret, which is shown only once. */
  onSecret: (secret: string) => void;
}

/** One webhook: its settings, and what was sent. */
export function WebhookDrawer({ webhook, ...props }: Props) {
  const { t } = useLingui();
  return (
    <Drawer
      opened={webhook !== undefined}
      onClose={props.onClose}
      position="right"
      size="xl"
      title={t`Webhook`}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {webhook && <Loaded key={webhook} webhook={webhook} {...props} />}
    </Drawer>
  );
}

function Loaded({ webhook, ...props }: Props & { webhook: string }) {
  const { data, error, refetch } = useQuery(webhookOptions(webhook));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return (
    <Stack gap="lg">
      <Settings key={data.version} webhook={data.value} version={data.version} {...props} />
      <Deliveries webhook={webhook} writable={props.writable} />
    </Stack>
  );
}

interface SettingsProps extends Omit<Props, "webhook"> {
  webhook: Webhook;
  version: string;
}

function Settings({ webhook, version, writable, onClose, onSecret }: SettingsProps) {
  const { t } = useLingui();
  const complain = useComplain();
  const options = useWebhookEvents();
  const change = useChangeWebhook(webhook.uuid);
  const remove = useDeleteWebhook();
  const rotate = useRotateSecret(webhook.uuid);
  const test = useTestWebhook(webhook.uuid);
  const [name, setName] = useState(webhook.name);
  const [url, setUrl] = useState(webhook.url);
  const [events, setEvents] = useState(webhook.events);
  const [asking, setAsking] = useState(false);
  const changed =
    name !== webhook.name || url !== webhook.url || events.join() !== webhook.events.join();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate({
      version,
      name: name.trim(),
      url: url.trim(),
      events: events as Schema<"NotificationType">[],
    });
  };
  return (
    <>
      {webhook.disabled_reason && (
        <Alert color="gray" variant="outline" title={t`It was switched off`}>
          {webhook.disabled_reason}
        </Alert>
      )}
      <form onSubmit={submit}>
        <Stack gap="md">
          <Switch
            label={t`Send events`}
            description={t`When it is switched on again, waiting events are sent.`}
            disabled={!writable}
            checked={webhook.is_enabled}
            onChange={(event) =>
              change.mutate(
                { version, is_enabled: event.currentTarget.checked },
                { onError: complain },
              )
            }
          />
          <TextInput
            label={t`Name`}
            required
            withAsterisk={false}
            maxLength={100}
            readOnly={!writable}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <TextInput
            type="url"
            label={t`Address`}
            required
            withAsterisk={false}
            maxLength={2000}
            readOnly={!writable}
            value={url}
            onChange={(event) => setUrl(event.currentTarget.value)}
          />
          <MultiSelect
            label={t`Events`}
            description={t`Empty: all of them.`}
            searchable
            readOnly={!writable}
            value={events}
            data={options}
            onChange={setEvents}
          />
          <ErrorNotice error={change.error} />
          {writable && (
            <Group gap="sm">
              <Button type="submit" disabled={!changed} loading={change.isPending}>
                {t`Save`}
              </Button>
              <Button
                variant="default"
                loading={test.isPending}
                onClick={() => test.mutate(undefined, { onError: complain })}
              >
                {t`Send a test`}
              </Button>
              <Button
                variant="default"
                loading={rotate.isPending}
                onClick={() => rotate.mutate(undefined, { onError: complain, onSuccess: onSecret })}
              >
                {t`Rotate the secret`}
              </Button>
              <Button color="red" variant="outline" onClick={() => setAsking(true)}>
                {t`Delete`}
              </Button>
            </Group>
          )}
        </Stack>
      </form>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete the webhook ${webhook.name}?`}
        action={t`Delete`}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(webhook.uuid, { onSuccess: onClose })}
      >
        {t`Its log goes with it, and what waits is not sent. To stop it for a while, switch it off.`}
      </Confirm>
    </>
  );
}
