import { useLingui } from "@lingui/react/macro";
import { Button, Text } from "@mantine/core";
import type { CSSProperties } from "react";
import { AnswerView } from "./AnswerView";
import classes from "./Playground.module.css";
import type { Place } from "./PlaygroundPage";
import { Question } from "./Question";
import type { Asked, Chat } from "./useChat";
import type { Pane } from "./usePanes";

interface Props {
  panes: readonly Pane[];
  chat: Chat;
  asked: readonly Asked[];
  onSave?: (place: Place) => void;
  onCode: (place: Place) => void;
}

/** The turns of the conversation; the answers to a question stand beside each other. */
export function Turns({ panes, chat, asked, onSave, onCode }: Props) {
  const { t } = useLingui();
  const last = chat.conversation.turns.at(-1)?.id;
  const style = { "--columns": Math.max(panes.length, 1) } as CSSProperties;
  return (
    <div role="log" aria-label={t`Chat`}>
      {chat.conversation.turns.map((turn) => (
        <section key={turn.id} aria-label={turn.question.slice(0, 80)}>
          <Question
            text={turn.question}
            onEdit={
              panes.length > 0 ? (question) => chat.edit(turn.id, question, asked) : undefined
            }
          />
          <div className={classes.columns} style={style}>
            {panes.map(({ who, label, parameters }) => {
              const answer = turn.answers[who];
              const place = { turn: turn.id, who };
              const retry =
                turn.id === last ? () => chat.retry(turn.id, { who, parameters }) : undefined;
              return (
                <div key={who}>
                  <div className={classes.name}>{label}</div>
                  {answer ? (
                    <AnswerView
                      answer={answer}
                      label={label}
                      onRetry={retry}
                      onStop={() => chat.stop(turn.id, who)}
                      onSave={onSave && (() => onSave(place))}
                      onCode={() => onCode(place)}
                    />
                  ) : retry ? (
                    <Button size="xs" variant="default" onClick={retry}>
                      {t`Answer this too`}
                    </Button>
                  ) : (
                    <Text size="sm" c="dimmed">
                      {t`Was not asked.`}
                    </Text>
                  )}
                </div>
              );
            })}
          </div>
        </section>
      ))}
    </div>
  );
}
