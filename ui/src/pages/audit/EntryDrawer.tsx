import { useLingui } from "@lingui/react/macro";
import { Button, Drawer, Group, Stack } from "@mantine/core";
import type { AuditEntry } from "@/api/audit";
import { Code } from "@/design/Code";
import { Id, TimeAgo } from "@/design/values";
import classes from "./Audit.module.css";
import { OutcomeStatus } from "./Outcome";

interface Props {
  entry: AuditEntry | undefined;
  onClose: () => void;
  onFilter: (filter: string) => void;
}

/** One entry in full, with the way to all entries like it. */
export function EntryDrawer({ entry, onClose, onFilter }: Props) {
  const { t } = useLingui();
  return (
    <Drawer
      opened={entry !== undefined}
      onClose={onClose}
      position="right"
      size="lg"
      title={entry?.action}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {entry && <Facts entry={entry} onFilter={onFilter} />}
    </Drawer>
  );
}

function Facts({ entry, onFilter }: { entry: AuditEntry; onFilter: (filter: string) => void }) {
  const { t } = useLingui();
  const facts = [
    { label: t`When`, value: <TimeAgo time={entry.created_at} /> },
    { label: t`Exactly`, value: <span className="mono">{entry.created_at}</span> },
    { label: t`Outcome`, value: <OutcomeStatus outcome={entry.outcome} /> },
    { label: t`Who`, value: entry.user?.username ?? t`nobody` },
    { label: t`Kind`, value: entry.resource_type ?? "–" },
    {
      label: t`Id`,
      value: entry.resource_id ? <Id value={entry.resource_id} length={36} /> : "–",
    },
    { label: t`Project`, value: entry.project ? <Id value={entry.project} length={36} /> : "–" },
    { label: t`Address`, value: entry.ip_address ?? "–" },
    { label: t`Browser or program`, value: entry.user_agent ?? "–" },
  ];
  const user = entry.user?.username;
  return (
    <Stack gap="md">
      <dl className={classes.facts}>
        {facts.map(({ label, value }) => (
          <div key={label} style={{ display: "contents" }}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Group gap="sm">
        {entry.resource_id && (
          <Button
            variant="default"
            onClick={() => onFilter(`resource = ${quote(entry.resource_id ?? "")}`)}
          >
            {t`All about this thing`}
          </Button>
        )}
        {user && (
          <Button variant="default" onClick={() => onFilter(`user = ${quote(user)}`)}>
            {t`All by this user`}
          </Button>
        )}
        <Button variant="default" onClick={() => onFilter(`action = ${quote(entry.action)}`)}>
          {t`All of this action`}
        </Button>
      </Group>
      <Code label={t`Details`}>{JSON.stringify(entry.details, null, 2)}</Code>
    </Stack>
  );
}

function quote(text: string): string {
  return JSON.stringify(text);
}
