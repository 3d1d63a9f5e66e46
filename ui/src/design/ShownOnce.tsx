import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Code } from "./Code";

interface Props {
  /** The value; the dialog is open while there is one. */
  value: string | null;
  title: string;
  /** What it is for. */
  children: ReactNode;
  onClose: () => void;
}

/** Show a secret that can't be read again. Only its button closes it, never a stray click. */
export function ShownOnce({ value, title, children, onClose }: Props) {
  const { t } = useLingui();
  return (
    <Modal
      opened={value !== null}
      onClose={onClose}
      title={title}
      size="lg"
      closeOnClickOutside={false}
      closeOnEscape={false}
      withCloseButton={false}
    >
      <Stack gap="md">
        <Text size="sm">{children}</Text>
        <Code label={title} wrap>
          {value ?? ""}
        </Code>
        <Text size="sm" fw={600}>
          {t`It is shown only now. Keep it in a safe place before you close this.`}
        </Text>
        <Group justify="flex-end">
          <Button onClick={onClose}>{t`I have kept it`}</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
