import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, List, Text } from "@mantine/core";
import { IconShieldCheck } from "@tabler/icons-react";
import { useVerification, useVerify, type Verification as Verified } from "@/api/audit";
import { codeOf } from "@/api/problem";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { Status } from "@/design/Status";
import { Elapsed, TimeAgo } from "@/design/values";

/** Whether the entries still match their seals, as the platform itself last found. */
export function Verification() {
  const { t } = useLingui();
  const { data, error, refetch } = useVerification();
  const verify = useVerify();
  const refused = codeOf(verify.error) === "audit.verification_running" ? null : verify.error;
  const running = data?.state === "running";
  return (
    <FormSection
      title={t`Verification`}
      description={t`Entries are sealed one after the other. The platform can compare them with their seals here. To verify them on another machine, export JSON lines and run: aiplatform audit verify FILE`}
    >
      <ErrorNotice error={error ?? refused} onRetry={() => void refetch()} />
      {data && <Outcome found={data} />}
      {data === null && <Text size="sm">{t`Nobody has requested a verification yet.`}</Text>}
      <Group>
        <Button
          variant="default"
          leftSection={<IconShieldCheck size={16} />}
          loading={verify.isPending || running}
          onClick={() => verify.mutate()}
        >
          {t`Verify now`}
        </Button>
      </Group>
    </FormSection>
  );
}

const STATUS = { running: "running", intact: "completed", broken: "failed", failed: "failed" };

function Outcome({ found }: { found: Verified }) {
  const { t } = useLingui();
  const labels: Record<Verified["state"], string> = {
    running: t`Being verified`,
    intact: t`Intact`,
    broken: t`Not intact`,
    failed: t`Could not be verified`,
  };
  const [first] = found.findings;
  return (
    <div>
      <Group gap="md">
        <Status status={STATUS[found.state]} label={labels[found.state]} />
        <Text size="sm" c="dimmed">
          {found.user?.username} · <TimeAgo time={found.started_at} />
          {found.state === "running" && (
            <>
              {" · "}
              <Elapsed since={found.started_at} until={null} />
            </>
          )}
        </Text>
      </Group>
      {(found.state === "intact" || found.state === "broken") && (
        <Text size="sm" mt="xs">
          <Plural value={found.rows} one="# entry checked" other="# entries checked" />
          {", "}
          <Plural value={found.seals} one="# seal" other="# seals" />
          {found.unsealed > 0 && (
            <>
              {", "}
              <Plural value={found.unsealed} one="# not sealed yet" other="# not sealed yet" />
            </>
          )}
        </Text>
      )}
      {found.error && (
        <Text size="sm" mt="xs">
          {found.error}
        </Text>
      )}
      {first && <Findings found={found} />}
    </div>
  );
}

function Findings({ found }: { found: Verified }) {
  const { t } = useLingui();
  const kinds: Record<string, string> = {
    altered: t`Entry changed`,
    "archive unreadable": t`Archive unreadable`,
    "cut off": t`Cut off`,
    inserted: t`Entry inserted later`,
    missing: t`Entry missing`,
    replaced: t`Seal replaced`,
    "seal altered": t`Seal changed`,
    "seal missing": t`Seal missing`,
    "signature wrong": t`Signature wrong`,
  };
  return (
    <>
      <List size="sm" mt="xs" aria-label={t`Findings`}>
        {found.findings.map((finding) => (
          <List.Item key={`${finding.kind} ${finding.row} ${finding.seal} ${finding.text}`}>
            {kinds[finding.kind] ?? finding.kind}
            {finding.row !== null && ` · ${t`entry ${finding.row}`}`}
            {finding.seal !== null && ` · ${t`seal ${finding.seal}`}`}
            {finding.entry && <span className="mono"> · {finding.entry}</span>}
          </List.Item>
        ))}
      </List>
      {found.more > 0 && (
        <Text size="sm">
          <Trans>
            and <Plural value={found.more} one="# more" other="# more" />
          </Trans>
        </Text>
      )}
      <Text size="sm" mt="xs">
        {t`Compare the entries with a backup or an export from before, and find out who can write to the database.`}
      </Text>
    </>
  );
}
