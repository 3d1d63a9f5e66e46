import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useRegisterBest } from "@/api/sweeps";
import { ErrorNotice } from "@/design/ErrorNotice";
import { ModelLink } from "@/design/refs";

interface Props {
  sweep: string;
  opened: boolean;
  onClose: () => void;
}

/** Keep the best model of a sweep under a name of its own. */
export function RegisterBest({ sweep, opened, onClose }: Props) {
  const { t } = useLingui();
  const register = useRegisterBest(sweep);
  const [name, setName] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    register.mutate(name.trim());
  };
  const made = register.data;
  return (
    <Modal opened={opened} onClose={onClose} title={t`Register the best model`}>
      {made ? (
        <Stack gap="md">
          <Text size="sm">
            <Trans>
              Registered: <ModelLink uuid={made.model} name={`${made.name}@${made.version}`} />
            </Trans>
          </Text>
          <Group justify="flex-end">
            <Button onClick={onClose}>{t`Done`}</Button>
          </Group>
        </Stack>
      ) : (
        <form onSubmit={submit}>
          <Stack gap="md">
            <TextInput
              data-autofocus
              label={t`Name`}
              description={t`The model becomes the next version of this name, with its files, card and lineage.`}
              value={name}
              maxLength={100}
              onChange={(event) => setName(event.currentTarget.value)}
            />
            <ErrorNotice error={register.error} />
            <Group justify="flex-end" gap="sm">
              <Button variant="default" onClick={onClose}>{t`Close`}</Button>
              <Button type="submit" loading={register.isPending} disabled={!name.trim()}>
                {t`Register`}
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}
