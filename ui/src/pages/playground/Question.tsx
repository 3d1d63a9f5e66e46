import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Group, Textarea, Tooltip } from "@mantine/core";
import { IconPencil } from "@tabler/icons-react";
import { type KeyboardEvent, useState } from "react";
import classes from "./Playground.module.css";

interface Props {
  text: string;
  /** Asks this instead, and drops what came after. Without it, the question can't be changed. */
  onEdit?: (text: string) => void;
}

/** What was asked, and a way to ask it differently. */
export function Question({ text, onEdit }: Props) {
  const { t } = useLingui();
  const [draft, setDraft] = useState<string | null>(null);
  if (draft === null)
    return (
      <div className={classes.question}>
        <div className={classes.asked}>{text}</div>
        {onEdit && (
          <Tooltip label={t`Edit and ask again`}>
            <ActionIcon aria-label={t`Edit and ask again`} onClick={() => setDraft(text)}>
              <IconPencil size={15} />
            </ActionIcon>
          </Tooltip>
        )}
      </div>
    );
  const submit = () => {
    if (!draft.trim()) return;
    setDraft(null);
    onEdit?.(draft);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") setDraft(null);
    else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    }
  };
  return (
    <div className={classes.editing}>
      <Textarea
        autoFocus
        aria-label={t`Question`}
        description={t`Answers to it and everything after it are replaced.`}
        rows={4}
        value={draft}
        onChange={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <Group gap="sm" mt="xs">
        <Button onClick={submit} disabled={!draft.trim()}>
          {t`Ask again`}
        </Button>
        <Button variant="default" onClick={() => setDraft(null)}>
          {t`Cancel`}
        </Button>
      </Group>
    </div>
  );
}
