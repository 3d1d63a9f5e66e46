import { useLingui } from "@lingui/react/macro";
import { Title, UnstyledButton } from "@mantine/core";
import type { AuditEntry } from "@/api/audit";
import classes from "./Audit.module.css";
import { byDay } from "./days";
import { OutcomeStatus } from "./Outcome";

interface Props {
  entries: readonly AuditEntry[];
  shown: string | undefined;
  onShow: (entry: AuditEntry) => void;
}

/** What happened, day by day, the newest first. */
export function AuditTimeline({ entries, shown, onShow }: Props) {
  const { t, i18n } = useLingui();
  const day = new Intl.DateTimeFormat(i18n.locale, { dateStyle: "full" });
  const time = new Intl.DateTimeFormat(i18n.locale, { timeStyle: "medium" });
  return byDay(entries).map(([key, ofDay]) => (
    <section key={key}>
      <Title order={2} className={classes.day}>
        {day.format(new Date(key))}
      </Title>
      <ol className={classes.entries}>
        {ofDay.map((entry, place) => (
          <li key={entry.uuid ?? `${entry.created_at} ${place}`}>
            <UnstyledButton
              className={classes.entry}
              data-shown={(entry.uuid !== null && entry.uuid === shown) || undefined}
              onClick={() => onShow(entry)}
            >
              <time dateTime={entry.created_at}>{time.format(new Date(entry.created_at))}</time>
              <OutcomeStatus outcome={entry.outcome} />
              <span className="truncate">{entry.user?.username ?? t`nobody`}</span>
              <span className="mono truncate">{entry.action}</span>
              <span className="truncate">{nameOf(entry)}</span>
              <span className="mono secondary">{entry.ip_address}</span>
            </UnstyledButton>
          </li>
        ))}
      </ol>
    </section>
  ));
}

/** Return what an entry is about: kind, and the name at that time if it was recorded. */
function nameOf({ resource_type, resource_id, details }: AuditEntry): string {
  const name = details.name ?? details.username;
  const shown = typeof name === "string" ? name : (resource_id?.slice(0, 8) ?? "");
  return [resource_type, shown].filter(Boolean).join(" ");
}
