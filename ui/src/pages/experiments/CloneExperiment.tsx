import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, NumberInput, Stack, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { useCloneExperiment } from "@/api/experiments";
import { useProjectParam } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { valueAtPath } from "./figures";

interface Props {
  experiment: Experiment;
  opened: boolean;
  onClose: () => void;
}

const CHANGED = ["learning_rate", "epochs", "lora.rank"] as const;

/** Copy an experiment, with another name and what is most often changed. */
export function CloneExperiment({ experiment, opened, onClose }: Props) {
  const { t } = useLingui();
  const project = useProjectParam();
  const navigate = useNavigate();
  const clone = useCloneExperiment(experiment.uuid);
  const [name, setName] = useState("");
  const [changes, setChanges] = useState<Record<string, number>>({});
  const labels: Record<(typeof CHANGED)[number], string> = {
    learning_rate: t`Learning rate`,
    epochs: t`Epochs`,
    "lora.rank": t`LoRA rank`,
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    clone.mutate(
      { ...(name.trim() ? { name: name.trim() } : {}), changes },
      {
        onSuccess: (copy) => {
          onClose();
          void navigate({
            to: "/p/$project/experiments/$experiment",
            params: { project, experiment: copy.uuid },
          });
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t`Clone ${experiment.name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            data-autofocus
            label={t`Name`}
            placeholder={`${experiment.name} (copy)`}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          {CHANGED.map((path) => {
            const now = valueAtPath(experiment, `config.${path}`);
            return (
              <NumberInput
                key={path}
                label={labels[path]}
                value={changes[path] ?? (typeof now === "number" ? now : "")}
                onChange={(value) => {
                  const { [path]: _old, ...rest } = changes;
                  setChanges(
                    typeof value === "number" && value !== now ? { ...rest, [path]: value } : rest,
                  );
                }}
                hideControls
                decimalScale={10}
              />
            );
          })}
          <ErrorNotice error={clone.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>{t`Cancel`}</Button>
            <Button type="submit" loading={clone.isPending}>{t`Clone`}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
