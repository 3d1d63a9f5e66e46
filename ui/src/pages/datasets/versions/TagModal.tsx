import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useTag } from "@/api/datasets";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";

interface Props {
  dataset: Dataset;
  version: string;
  opened: boolean;
  onClose: () => void;
}

/** Give a version a name that can be moved, such as `prod`. */
export function TagModal({ dataset, version, opened, onClose }: Props) {
  const { t } = useLingui();
  const [name, setName] = useState("");
  const change = useTag(dataset.uuid);
  const tag = name.trim().replace(/^@/, "");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!tag) return;
    change.mutate(
      { tag, version },
      {
        onSuccess: () => {
          setName("");
          onClose();
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t`Set a tag at ${version}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Tag`}
            description={t`In lower case, such as prod. If another version has it, it moves here.`}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <ErrorNotice error={change.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" disabled={!tag} loading={change.isPending}>
              {t`Set the tag`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
