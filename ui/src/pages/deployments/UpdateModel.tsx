import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Select, Stack, Text } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useUpdateDeployment } from "@/api/deployments";
import type { Deployment } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { useAliasChoices, useModelChoices } from "./useModelChoices";

interface Props {
  deployment: Deployment;
  onClose: () => void;
}

/** Choose the model that takes over. */
export function UpdateModel({ deployment, onClose }: Props) {
  const { t } = useLingui();
  const choices = useModelChoices();
  const aliases = useAliasChoices();
  const update = useUpdateDeployment(deployment.uuid);
  const [model, setModel] = useState<string | null>(null);
  const running = ["ready", "starting", "restarting"].includes(deployment.status);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const follow = aliases.some(({ value }) => value === model);
    if (model) update.mutate({ model, follow }, { onSuccess: onClose });
  };
  const { name } = deployment;
  return (
    <Modal opened onClose={onClose} title={t`Update ${name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">
            {running
              ? t`The new model starts beside the current one and takes over when it is ready. No request fails meanwhile; until then, both use resources.`
              : t`The deployment is down; it starts with the new model.`}
          </Text>
          <Select
            data-autofocus
            label={t`Model`}
            searchable
            value={model}
            onChange={setModel}
            data={[
              {
                group: t`Versions`,
                items: choices.filter(({ value }) => value !== deployment.model),
              },
              {
                group: t`Follow an alias`,
                items: aliases.filter(({ value }) => value !== deployment.follows),
              },
            ]}
            nothingFoundMessage={t`No other model is ready.`}
          />
          {deployment.follows && (
            <Text size="sm">
              {t`It follows ${deployment.follows}. If you choose a version, it stops following the alias.`}
            </Text>
          )}
          <ErrorNotice error={update.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={update.isPending} disabled={!model}>
              {t`Update`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
