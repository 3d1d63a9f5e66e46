import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, type ReactNode, useEffect, useState } from "react";
import { ErrorNotice } from "./ErrorNotice";

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  /** What will happen and what can't be undone. */
  children: ReactNode;
  /** The verb on the button. */
  action: string;
  /** What must be typed first; only for what can't be undone. */
  phrase?: string;
  onConfirm: () => void;
  pending?: boolean;
  error?: unknown;
}

/** Ask before something that can't be undone. */
export function Confirm(props: Props) {
  const { opened, onClose, title, children, action, phrase, onConfirm, pending, error } = props;
  const { t } = useLingui();
  const [typed, setTyped] = useState("");
  useEffect(() => {
    if (opened) setTyped("");
  }, [opened]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onConfirm();
  };
  return (
    <Modal opened={opened} onClose={onClose} title={title}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm" component="div">
            {children}
          </Text>
          {phrase && (
            <TextInput
              data-autofocus
              label={
                <Trans>
                  Type <strong>{phrase}</strong> to confirm
                </Trans>
              }
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              autoComplete="off"
            />
          )}
          <ErrorNotice error={error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Keep it`}
            </Button>
            <Button
              type="submit"
              color="red"
              loading={pending}
              disabled={phrase !== undefined && typed !== phrase}
            >
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
