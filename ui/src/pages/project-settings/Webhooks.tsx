import { useLingui } from "@lingui/react/macro";
import { Button, Group } from "@mantine/core";
import { IconPlus, IconWebhook } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Project } from "@/api/types";
import { type Webhook, webhooksOptions } from "@/api/webhooks";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ShownOnce } from "@/design/ShownOnce";
import { Status } from "@/design/Status";
import { DataTable } from "@/design/table/DataTable";
import type { Column } from "@/design/table/types";
import { TimeAgo } from "@/design/values";
import { CreateWebhook } from "./CreateWebhook";
import { useWebhookEvents } from "./events";
import { WebhookDrawer } from "./WebhookDrawer";

interface Props {
  project: Project;
  /** Uuid of the webhook that is shown beside the list. */
  shown: string | undefined;
  onShow: (webhook: string | undefined) => void;
}

/** The addresses to which the project's events are sent. */
export function Webhooks({ project, shown, onShow }: Props) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(webhooksOptions(project.uuid));
  const events = useWebhookEvents();
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const writable = project.status === "active";
  const columns: Column<Webhook>[] = [
    { id: "name", header: t`Name`, primary: true, width: 180, cell: (webhook) => webhook.name },
    {
      id: "status",
      header: t`Status`,
      width: 150,
      cell: (webhook) =>
        webhook.is_enabled ? (
          webhook.failing_since ? (
            <Status status="failed" label={t`Failing`} />
          ) : (
            <Status status="active" />
          )
        ) : (
          <Status status="inactive" label={t`Off`} />
        ),
    },
    {
      id: "url",
      header: t`Address`,
      cell: (webhook) => <span className="mono">{webhook.url}</span>,
    },
    {
      id: "events",
      header: t`Events`,
      cell: (webhook) => (
        <span className="secondary">
          {webhook.events.length === 0
            ? t`all`
            : webhook.events
                .map((type) => events.find(({ value }) => value === type)?.label ?? type)
                .join(", ")}
        </span>
      ),
    },
    {
      id: "created",
      header: t`Created`,
      width: 120,
      align: "right",
      cell: (webhook) => <TimeAgo time={webhook.created_at} />,
    },
  ];
  const create = writable && (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setCreating(true)}>
      {t`Create webhook`}
    </Button>
  );
  return (
    <>
      {create && <Group mb="md">{create}</Group>}
      <ErrorNotice error={error} onRetry={() => void refetch()} />
      {!error && (
        <DataTable
          label={t`Webhooks`}
          columns={columns}
          rows={data?.items}
          rowKey={(webhook) => webhook.uuid}
          previewed={shown}
          onPreview={(webhook) => onShow(webhook.uuid)}
          empty={
            <EmptyState icon={<IconWebhook size={32} stroke={1.5} />} title={t`No webhooks`}>
              {t`A webhook tells another program, such as a chat or a build server, what happens in this project: trainings that end, reports that are ready.`}
            </EmptyState>
          }
        />
      )}
      <CreateWebhook
        project={project}
        opened={creating}
        onClose={() => setCreating(false)}
        onCreated={(made) => {
          setCreating(false);
          setSecret(made.secret);
          onShow(made.uuid);
        }}
      />
      <WebhookDrawer
        webhook={shown}
        writable={writable}
        onClose={() => onShow(undefined)}
        onSecret={setSecret}
      />
      <ShownOnce value={secret} title={t`Secret of the webhook`} onClose={() => setSecret(null)}>
        {t`The receiver checks with it that events come from this platform, by the Standard Webhooks signature.`}
      </ShownOnce>
    </>
  );
}
