import { useLingui } from "@lingui/react/macro";
import { Checkbox, Select, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Fragment } from "react";
import {
  type NotificationPreferences,
  notificationPreferencesOptions,
  useSetNotificationPreferences,
} from "@/api/inbox";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { PageSkeleton } from "@/design/Skeletons";
import { useComplain } from "@/design/useComplain";
import classes from "./Inbox.module.css";
import { useGroupLabel } from "./labels";

type TypePreference = NotificationPreferences["types"][number];

/** What reaches the user, and by which way. Each choice applies immediately. */
export function Preferences() {
  const { t } = useLingui();
  const complain = useComplain();
  const { data, error, refetch } = useQuery(notificationPreferencesOptions);
  const change = useSetNotificationPreferences();
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  return (
    <>
      <FormSection
        title={t`E-mail`}
        description={t`Sent only if the platform has a mail server. Several messages can come as one.`}
      >
        <Select
          label={t`How often`}
          value={data.email}
          data={[
            { value: "off", label: t`Never` },
            { value: "immediate", label: t`Immediately` },
            { value: "hourly", label: t`Once an hour` },
            { value: "daily", label: t`Once a day` },
          ]}
          onChange={(email) =>
            change.mutate(
              { email: email as NotificationPreferences["email"], types: {} },
              { onError: complain },
            )
          }
        />
        <Select
          label={t`Language of e-mails`}
          value={data.language}
          data={[
            { value: "en", label: "English" },
            { value: "zh", label: "中文" },
          ]}
          onChange={(language) =>
            change.mutate({ language: language as "en" | "zh", types: {} }, { onError: complain })
          }
        />
      </FormSection>
      <FormSection
        title={t`Events`}
        description={t`Messages about the security of your account always reach the inbox.`}
      >
        <Matrix
          preferences={data}
          onChange={(type, channel, on) =>
            change.mutate({ types: { [type]: { [channel]: on } } }, { onError: complain })
          }
        />
      </FormSection>
    </>
  );
}

interface MatrixProps {
  preferences: NotificationPreferences;
  onChange: (type: TypePreference["type"], channel: "inbox" | "email", on: boolean) => void;
}

function Matrix({ preferences, onChange }: MatrixProps) {
  const { t } = useLingui();
  const groupLabel = useGroupLabel();
  const groups = new Map<string, TypePreference[]>();
  for (const entry of preferences.types) {
    const group = entry.type.split(":")[0] ?? "";
    groups.set(group, [...(groups.get(group) ?? []), entry]);
  }
  const mailed = preferences.email !== "off";
  return (
    <>
      {!mailed && (
        <Text size="sm" c="dimmed">
          {t`E-mails are switched off above; what is chosen for them here counts once they are on.`}
        </Text>
      )}
      <table className={classes.preferences} aria-label={t`Events`}>
        <thead>
          <tr>
            <th scope="col">{t`Event`}</th>
            <th scope="col">{t`Inbox`}</th>
            <th scope="col">{t`E-mail`}</th>
          </tr>
        </thead>
        <tbody>
          {[...groups].map(([group, types]) => (
            <Fragment key={group}>
              <tr data-group>
                <th scope="rowgroup" colSpan={3}>
                  {groupLabel(group)}
                </th>
              </tr>
              {types.map((entry) => (
                <tr key={entry.type}>
                  <th scope="row">{entry.label}</th>
                  {(["inbox", "email"] as const).map((channel) => (
                    <td key={channel}>
                      <Checkbox
                        size="xs"
                        aria-label={
                          channel === "inbox" ? t`${entry.label}: inbox` : t`${entry.label}: e-mail`
                        }
                        checked={entry[channel]}
                        disabled={channel === "inbox" && entry.mandatory}
                        onChange={(event) =>
                          onChange(entry.type, channel, event.currentTarget.checked)
                        }
                      />
                    </td>
                  ))}
                </tr>
              ))}
            </Fragment>
          ))}
        </tbody>
      </table>
    </>
  );
}
