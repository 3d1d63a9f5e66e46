import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Alert, Button, Group, Modal, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { totpOptions, useDisableTotp, useRenewRecoveryCodes } from "@/api/account";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FormSection } from "@/design/FormSection";
import { ButtonLink } from "@/design/links";
import { ShownOnce } from "@/design/ShownOnce";
import { PageSkeleton } from "@/design/Skeletons";
import { Status } from "@/design/Status";
import { EnrolTotp } from "./EnrolTotp";

/** Password and second factor. */
export function Security() {
  const { t } = useLingui();
  return (
    <>
      <FormSection title={t`Password`} description={t`A change ends all of your other sessions.`}>
        <Group>
          <ButtonLink variant="default" to="/password" search={{ next: "/account?tab=security" }}>
            {t`Change password`}
          </ButtonLink>
        </Group>
      </FormSection>
      <FormSection
        title={t`Second factor`}
        description={t`With the codes of an app on your telephone, a stolen password is not enough to sign in.`}
      >
        <SecondFactor />
      </FormSection>
    </>
  );
}

function SecondFactor() {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery(totpOptions);
  const [asking, setAsking] = useState<"enrol" | "renew" | "disable" | null>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  if (error) return <ErrorNotice error={error} onRetry={() => void refetch()} />;
  if (!data) return <PageSkeleton />;
  const close = () => setAsking(null);
  const keep = (fresh: string[]) => {
    setCodes(fresh);
    close();
  };
  return (
    <>
      <Group gap="sm">
        <Status
          status={data.enabled ? "active" : "inactive"}
          label={data.enabled ? t`On` : t`Off`}
        />
        {data.enabled && (
          <Text size="sm">
            <Plural
              value={data.recovery_codes_left}
              one="# recovery code left"
              other="# recovery codes left"
            />
          </Text>
        )}
      </Group>
      {data.enabled && data.recovery_codes_left < 3 && (
        <Alert color="gray" variant="outline" title={t`Few recovery codes are left`}>
          {t`Renew them, so that you can still sign in without your telephone.`}
        </Alert>
      )}
      <Group gap="sm">
        {data.enabled ? (
          <>
            <Button variant="default" onClick={() => setAsking("renew")}>
              {t`Renew the recovery codes`}
            </Button>
            <Button color="red" variant="outline" onClick={() => setAsking("disable")}>
              {t`Switch off`}
            </Button>
          </>
        ) : (
          <Button onClick={() => setAsking("enrol")}>{t`Set up`}</Button>
        )}
      </Group>
      <EnrolTotp opened={asking === "enrol"} onClose={close} onCodes={keep} />
      <RenewCodes opened={asking === "renew"} onClose={close} onCodes={keep} />
      <Disable opened={asking === "disable"} onClose={close} />
      <ShownOnce
        value={codes?.join("\n") ?? null}
        title={t`Recovery codes`}
        onClose={() => setCodes(null)}
      >
        <Trans>
          Each of them signs you in once if you don't have your telephone. Print them, or keep them
          in a password manager.
        </Trans>
      </ShownOnce>
    </>
  );
}

interface ProofProps {
  opened: boolean;
  onClose: () => void;
  title: string;
  action: string;
  danger?: boolean;
  pending: boolean;
  error: unknown;
  onProof: (proof: { password?: string; code?: string }) => void;
}

/** Ask for the password or a code before the second factor changes. */
function ProofDialog({ opened, onClose, title, action, danger, ...rest }: ProofProps) {
  const { t } = useLingui();
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const close = () => {
    setPassword("");
    setCode("");
    onClose();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    rest.onProof({
      ...(password && { password }),
      ...(code.trim() && { code: code.trim() }),
    });
  };
  return (
    <Modal opened={opened} onClose={close} title={title}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <PasswordInput
            data-autofocus
            label={t`Your password`}
            autoComplete="current-password"
            visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          <TextInput
            label={t`Code of the app, or a recovery code`}
            autoComplete="one-time-code"
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <ErrorNotice error={rest.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={close}>
              {t`Cancel`}
            </Button>
            <Button
              type="submit"
              color={danger ? "red" : undefined}
              loading={rest.pending}
              disabled={!password && !code.trim()}
            >
              {action}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

interface CodesProps {
  opened: boolean;
  onClose: () => void;
  onCodes: (codes: string[]) => void;
}

function RenewCodes({ opened, onClose, onCodes }: CodesProps) {
  const { t } = useLingui();
  const renew = useRenewRecoveryCodes();
  return (
    <ProofDialog
      opened={opened}
      onClose={onClose}
      title={t`Renew the recovery codes`}
      action={t`Renew`}
      pending={renew.isPending}
      error={renew.error}
      onProof={(proof) => renew.mutate(proof, { onSuccess: onCodes })}
    />
  );
}

function Disable({ opened, onClose }: Omit<CodesProps, "onCodes">) {
  const { t } = useLingui();
  const disable = useDisableTotp();
  return (
    <ProofDialog
      opened={opened}
      onClose={onClose}
      title={t`Switch the second factor off`}
      action={t`Switch off`}
      danger
      pending={disable.isPending}
      error={disable.error}
      onProof={(proof) => disable.mutate(proof, { onSuccess: onClose })}
    />
  );
}
