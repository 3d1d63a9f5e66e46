import { Trans, useLingui } from "@lingui/react/macro";
import {
  Anchor,
  Button,
  Center,
  Group,
  Modal,
  PasswordInput,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { QRCodeSVG } from "qrcode.react";
import { type FormEvent, useState } from "react";
import { useConfirmTotp, useEnrol } from "@/api/account";
import { Code } from "@/design/Code";
import { ErrorNotice } from "@/design/ErrorNotice";

interface Props {
  opened: boolean;
  onClose: () => void;
  /** Gets the recovery codes, which are shown only once. */
  onCodes: (codes: string[]) => void;
}

/** Set up a second factor: password, secret for the app, and a first code. */
export function EnrolTotp({ opened, onClose, onCodes }: Props) {
  const { t } = useLingui();
  const enrol = useEnrol();
  const confirm = useConfirmTotp();
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const close = () => {
    setPassword("");
    setCode("");
    enrol.reset();
    confirm.reset();
    onClose();
  };
  const begin = (event: FormEvent) => {
    event.preventDefault();
    enrol.mutate({ password }, { onSuccess: () => setPassword("") });
  };
  const finish = (event: FormEvent) => {
    event.preventDefault();
    confirm.mutate(
      { code: code.trim() },
      {
        onSuccess: (codes) => {
          close();
          onCodes(codes);
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={close} title={t`Set up a second factor`}>
      {enrol.data ? (
        <form onSubmit={finish}>
          <Stack gap="md">
            <Text size="sm">
              <Trans>
                Scan the code with an authenticator app, enter the secret there, or{" "}
                <Anchor href={enrol.data.uri}>open it in an app on this device</Anchor>.
              </Trans>
            </Text>
            <Center>
              <QRCodeSVG
                value={enrol.data.uri}
                size={192}
                // The quiet zone that scanners need; without it, the code fails in the dark theme.
                marginSize={4}
                title={t`Code for the authenticator app`}
                role="img"
              />
            </Center>
            <Code label={t`Secret of the app`} wrap>
              {enrol.data.secret}
            </Code>
            <TextInput
              data-autofocus
              label={t`The code that the app shows now`}
              inputMode="numeric"
              autoComplete="one-time-code"
              required
              withAsterisk={false}
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
            <ErrorNotice error={confirm.error} />
            <Group justify="flex-end" gap="sm">
              <Button variant="default" onClick={close}>
                {t`Cancel`}
              </Button>
              <Button type="submit" loading={confirm.isPending} disabled={code.trim().length < 6}>
                {t`Switch on`}
              </Button>
            </Group>
          </Stack>
        </form>
      ) : (
        <form onSubmit={begin}>
          <Stack gap="md">
            <PasswordInput
              data-autofocus
              label={t`Your password`}
              autoComplete="current-password"
              required
              withAsterisk={false}
              visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
            />
            <ErrorNotice error={enrol.error} />
            <Group justify="flex-end" gap="sm">
              <Button variant="default" onClick={close}>
                {t`Cancel`}
              </Button>
              <Button type="submit" loading={enrol.isPending} disabled={!password}>
                {t`Next`}
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}
