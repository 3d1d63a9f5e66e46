import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Alert, Button, CopyButton, Group, Text, Tooltip } from "@mantine/core";
import {
  IconAlertTriangle,
  IconCheck,
  IconCode,
  IconCopy,
  IconDatabasePlus,
  IconRefresh,
  IconSquare,
} from "@tabler/icons-react";
import { memo } from "react";
import { formatDuration, formatNumber } from "@/design/format";
import { Markdown } from "@/design/Markdown";
import { type Answer, tokensPerSecond } from "./chat";
import classes from "./Playground.module.css";

interface Props {
  answer: Answer;
  label: string;
  /** Without them, the answer can't be given again, or be saved. */
  onRetry?: () => void;
  onSave?: () => void;
  onStop: () => void;
  onCode: () => void;
}

/** One answer: its text as it comes, how fast it was, and what to do with it. */
export function AnswerView(props: Props) {
  const { answer, label } = props;
  const { t } = useLingui();
  const streaming = answer.state === "streaming";
  return (
    <article className={classes.answer} aria-label={t`Answer of ${label}`} aria-busy={streaming}>
      {answer.reasoning && (
        <details className={classes.reasoning}>
          <summary>{t`What the model thought first`}</summary>
          <div>{answer.reasoning}</div>
        </details>
      )}
      {answer.text ? (
        <AnswerText text={answer.text} />
      ) : (
        streaming &&
        !answer.reasoning && (
          <span className={classes.waiting}>{t`Waiting for the first word…`}</span>
        )
      )}
      {answer.error && (
        <Alert
          role="alert"
          color="red"
          variant="outline"
          icon={<IconAlertTriangle aria-hidden />}
          title={t`No complete answer`}
        >
          <Reason error={answer.error} />
          {props.onRetry && (
            <Group mt="xs">
              <Button size="xs" variant="default" onClick={props.onRetry}>
                {t`Try again`}
              </Button>
            </Group>
          )}
        </Alert>
      )}
      <Group gap="xs" className={classes.foot}>
        <Facts answer={answer} />
        <Group gap={2} ml="auto" className={classes.tools}>
          {streaming ? (
            <Tool label={t`Stop ${label}`} icon={<IconSquare size={15} />} onClick={props.onStop} />
          ) : (
            <>
              {props.onRetry && (
                <Tool
                  label={t`Answer again`}
                  icon={<IconRefresh size={15} />}
                  onClick={props.onRetry}
                />
              )}
              <CopyButton value={answer.text} timeout={1500}>
                {({ copied, copy }) => (
                  <Tool
                    label={copied ? t`Copied` : t`Copy the answer`}
                    icon={copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
                    onClick={copy}
                  />
                )}
              </CopyButton>
              <Tool
                label={t`Copy as curl or Python`}
                icon={<IconCode size={15} />}
                onClick={props.onCode}
              />
              {props.onSave && answer.text && (
                <Tool
                  label={t`Save as a dataset row`}
                  icon={<IconDatabasePlus size={15} />}
                  onClick={props.onSave}
                />
              )}
            </>
          )}
        </Group>
      </Group>
    </article>
  );
}

/** Drawn again only when its text changes: other columns stream at the same time. */
const AnswerText = memo(function AnswerText({ text }: { text: string }) {
  const { t } = useLingui();
  return <Markdown label={t`Code of the answer`}>{text}</Markdown>;
});

function Reason({ error }: { error: NonNullable<Answer["error"]> }) {
  const { t } = useLingui();
  if (error.code === "lost")
    return (
      <Text size="sm">{t`The platform does not answer. Check the connection, then try again.`}</Text>
    );
  if (error.code === "cut")
    return <Text size="sm">{t`The connection ended in the middle of the answer.`}</Text>;
  return <Text size="sm">{error.detail}</Text>;
}

function Facts({ answer }: { answer: Answer }) {
  const { t, i18n } = useLingui();
  const facts: string[] = [];
  const speed = tokensPerSecond(answer);
  const tokens = answer.usage?.completion_tokens;
  if (tokens !== undefined) facts.push(t`${formatNumber(tokens, i18n.locale)} tokens`);
  if (speed !== null) {
    const rate = formatNumber(speed, i18n.locale, { maximumFractionDigits: speed < 10 ? 1 : 0 });
    facts.push(t`${rate} tokens/s`);
  }
  if (answer.firstAfter !== undefined) {
    const wait = formatDuration(answer.firstAfter / 1000, i18n.locale);
    facts.push(t`first after ${wait}`);
  }
  if (answer.state === "stopped") facts.push(t`stopped`);
  if (answer.finish === "length") facts.push(t`cut at the longest answer`);
  return <span className="secondary">{facts.join(" · ")}</span>;
}

function Tool(props: { label: string; icon: React.ReactNode; onClick: () => void }) {
  return (
    <Tooltip label={props.label}>
      <ActionIcon aria-label={props.label} onClick={props.onClick}>
        {props.icon}
      </ActionIcon>
    </Tooltip>
  );
}
