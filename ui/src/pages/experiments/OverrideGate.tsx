import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Text, Textarea } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { codeOf, ProblemError } from "@/api/problem";

interface Props {
  /** Why the training was refused; the dialog opens for a refusal by the quality gate. */
  error: unknown;
  onClose: () => void;
  onOverride: (reason: string) => void;
  pending: boolean;
}

export function isGateFailure(error: unknown): boolean {
  return codeOf(error) === "dataset.gate_failed";
}

/** Ask for the reason to train although the data fails the project's quality gate. */
export function OverrideGate({ error, onClose, onOverride, pending }: Props) {
  const { t } = useLingui();
  const [reason, setReason] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onOverride(reason.trim());
  };
  return (
    <Modal
      opened={isGateFailure(error)}
      onClose={onClose}
      title={t`The data fails the quality gate`}
    >
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">{error instanceof ProblemError && error.problem.detail}</Text>
          <Textarea
            data-autofocus
            label={t`Why train all the same?`}
            description={t`The audit trail keeps the reason. Better: repair the data first.`}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            rows={3}
          />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>{t`Back to the data`}</Button>
            <Button type="submit" loading={pending} disabled={!reason.trim()}>
              {t`Train anyway`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
