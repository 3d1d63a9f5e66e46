import { useLingui } from "@lingui/react/macro";
import { Group, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { notificationsOptions } from "@/api/notifications";
import { AnchorLink } from "@/design/links";
import { TimeAgo } from "@/design/values";
import { destination } from "@/pages/inbox/destination";
import classes from "./HomePage.module.css";

/** The newest notifications; each leads to what it is about. */
export function News() {
  const { t } = useLingui();
  const news = useQuery(notificationsOptions(8)).data?.items;
  return (
    <section>
      <Group justify="space-between" mb="sm">
        <Title order={2}>{t`What happened`}</Title>
        <AnchorLink to="/inbox" size="sm">
          {t`Inbox`}
        </AnchorLink>
      </Group>
      {news?.map((item) => {
        const address = destination(item);
        return (
          <div key={item.uuid} className={classes.news}>
            <Text size="sm" component="span" fw={item.is_read ? 400 : 600}>
              {address ? (
                <AnchorLink {...placeOf(address)} c="inherit">
                  {item.title}
                </AnchorLink>
              ) : (
                item.title
              )}
            </Text>
            <span className="secondary">
              <TimeAgo time={item.created_at} />
            </span>
          </div>
        );
      })}
      {news?.length === 0 && (
        <Text size="sm" c="dimmed">
          {t`Tasks that end, invitations and changes to your account appear here.`}
        </Text>
      )}
    </section>
  );
}

/** Return path and query of an address apart, as links take them. */
function placeOf(address: string): { to: string; search: Record<string, string> } {
  const [to = "/", query = ""] = address.split("?");
  return { to, search: Object.fromEntries(new URLSearchParams(query)) };
}
