import { useLingui } from "@lingui/react/macro";
import { Button, Textarea } from "@mantine/core";
import { IconArrowUp, IconSquare } from "@tabler/icons-react";
import { type KeyboardEvent, useEffect } from "react";
import { useDraft } from "@/design/useDraft";
import classes from "./Playground.module.css";

interface Props {
  project: string;
  busy: boolean;
  disabled: boolean;
  onSend: (question: string) => void;
  onStop: () => void;
}

/** Where one writes. It stays in sight, and turns into the button that stops all answers. */
export function Composer({ project, busy, disabled, onSend, onStop }: Props) {
  const { t } = useLingui();
  const [draft, setDraft] = useDraft(`playground.${project}`, { text: "" });
  useEffect(() => {
    if (!busy) return;
    const listen = (event: globalThis.KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented) onStop();
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, [busy, onStop]);
  const send = () => {
    if (busy || disabled || !draft.text.trim()) return;
    onSend(draft.text);
    setDraft({ text: "" });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form
      className={classes.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Textarea
        data-filter
        className={classes.input}
        aria-label={t`Question`}
        placeholder={t`Ask something. Enter sends, Shift and Enter begin a new line.`}
        rows={3}
        value={draft.text}
        onChange={(event) => setDraft({ text: event.currentTarget.value })}
        onKeyDown={onKeyDown}
      />
      {busy ? (
        <Button
          type="button"
          variant="default"
          leftSection={<IconSquare size={15} />}
          onClick={() => onStop()}
        >
          {t`Stop`}
        </Button>
      ) : (
        <Button
          type="submit"
          leftSection={<IconArrowUp size={15} />}
          disabled={disabled || !draft.text.trim()}
        >
          {t`Send`}
        </Button>
      )}
    </form>
  );
}
