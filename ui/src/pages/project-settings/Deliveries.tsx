import { useLingui } from "@lingui/react/macro";
import { Button, Collapse, Group, Stack, Text, Title, UnstyledButton } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Delivery, deliveryOptions, useDeliveries, useReplay } from "@/api/webhooks";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";
import { TableSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { useComplain } from "@/design/useComplain";
import { Id, TimeAgo, TimeUntil } from "@/design/values";

/** What a webhook sent, with the answers, and the way to send it again. */
export function Deliveries({ webhook, writable }: { webhook: string; writable: boolean }) {
  const { t } = useLingui();
  const list = useDeliveries(webhook);
  const rows = list.data?.pages.flatMap((page) => page.items);
  return (
    <section>
      <Title order={2} mb="sm">{t`Deliveries`}</Title>
      <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      {!rows && !list.error && <TableSkeleton rows={3} />}
      {rows?.length === 0 && (
        <Text size="sm" c="dimmed">
          {t`Nothing was sent yet. Send a test to see whether the address answers.`}
        </Text>
      )}
      <Stack gap="xs">
        {rows?.map((delivery) => (
          <Entry key={delivery.uuid} webhook={webhook} delivery={delivery} writable={writable} />
        ))}
      </Stack>
      {list.hasNextPage && (
        <Button
          mt="sm"
          variant="subtle"
          loading={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {t`Load more`}
        </Button>
      )}
    </section>
  );
}

interface EntryProps {
  webhook: string;
  delivery: Delivery;
  writable: boolean;
}

function Entry({ webhook, delivery, writable }: EntryProps) {
  const { t } = useLingui();
  const complain = useComplain();
  const replay = useReplay(webhook);
  const [opened, setOpened] = useState(false);
  return (
    <div>
      <Group gap="md" wrap="nowrap">
        <UnstyledButton
          onClick={() => setOpened(!opened)}
          aria-expanded={opened}
          aria-label={t`Details of ${delivery.type}`}
        >
          {opened ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
        </UnstyledButton>
        <Status status={delivery.status} />
        <span className="mono truncate">{delivery.type}</span>
        <span className="secondary">
          <TimeAgo time={delivery.created_at} />
        </span>
        {delivery.next_attempt_at && (
          <span className="secondary">
            {t`next attempt`} <TimeUntil time={delivery.next_attempt_at} />
          </span>
        )}
        {writable && delivery.status !== "pending" && (
          <Button
            ml="auto"
            variant="subtle"
            loading={replay.isPending}
            onClick={() => replay.mutate(delivery.uuid, { onError: complain })}
          >
            {t`Send again`}
          </Button>
        )}
      </Group>
      <Collapse expanded={opened}>
        {opened && <Details webhook={webhook} delivery={delivery.uuid} />}
      </Collapse>
    </div>
  );
}

function Details({ webhook, delivery }: { webhook: string; delivery: string }) {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(deliveryOptions(webhook, delivery));
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <TableSkeleton rows={2} />;
  return (
    <Stack gap="sm" py="sm">
      <Text size="sm" component="div">
        webhook-id <Id value={data.message_id} length={40} />
      </Text>
      {data.calls.map((call) => (
        <div key={call.attempt}>
          <Text size="sm" component="div">
            {t`Attempt ${call.attempt}`} · <TimeAgo time={call.started_at} /> ·{" "}
            {call.status_code === null ? (call.error ?? "–") : `HTTP ${call.status_code}`}
            {call.duration_ms !== null && ` · ${call.duration_ms} ms`}
          </Text>
          {call.status_code !== null && call.error && (
            <Text size="sm" c="dimmed">
              {call.error}
            </Text>
          )}
          {call.response && (
            <Code label={t`Answer to attempt ${call.attempt}`} wrap>
              {call.response}
            </Code>
          )}
        </div>
      ))}
      <Code label={t`What was sent`} wrap>
        {data.body}
      </Code>
    </Stack>
  );
}
