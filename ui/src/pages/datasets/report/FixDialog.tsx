import { Plural, useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, Text, TextInput } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import type { DatasetVersion } from "@/api/datasets";
import { useProjectParam } from "@/api/projects";
import { type FixAction, type Report, useFix } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { FixPreview } from "./FixPreview";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  report: Report;
  fixes: Readonly<Record<string, FixAction>>;
  opened: boolean;
  onClose: () => void;
  /** Called when the fix is queued. */
  onDone: () => void;
}

/** Show what the chosen fixes change, and start them. */
export function FixDialog(props: Props) {
  const { dataset, version, report, fixes, opened, onClose, onDone } = props;
  const { t } = useLingui();
  const project = useProjectParam();
  const navigate = useNavigate();
  const fix = useFix(dataset.uuid);
  const [message, setMessage] = useState("");
  const count = Object.keys(fixes).length;
  const start = () =>
    fix.mutate(
      {
        fixes: { ...fixes },
        message: message.trim() || null,
        // Fixing an older version makes a branch from it.
        parent: version.version === dataset.version ? null : version.version,
      },
      {
        onSuccess: (task) => {
          onDone();
          onClose();
          void navigate({
            to: "/p/$project/tasks/$task",
            params: { project, task: task.uuid },
          });
        },
      },
    );
  return (
    <Modal opened={opened} onClose={onClose} title={t`What will change`} size="min(1100px, 94vw)">
      <Text size="sm" c="dimmed" mb="md">
        {t`Each fix is shown by itself on rows of ${version.version}. Nothing has been changed yet.`}
      </Text>
      {Object.entries(fixes).map(([code, action]) => (
        <FixPreview
          key={code}
          dataset={dataset}
          version={version}
          report={report}
          code={code}
          action={action}
        />
      ))}
      <TextInput
        mt="md"
        label={t`Message of the new version`}
        placeholder={t`By default it names the fixes`}
        value={message}
        onChange={(event) => setMessage(event.currentTarget.value)}
      />
      <ErrorNotice error={fix.error} />
      <Group justify="flex-end" gap="sm" mt="md">
        <Button variant="default" onClick={onClose}>
          {t`Cancel`}
        </Button>
        <Button loading={fix.isPending} onClick={start}>
          <Plural value={count} one="Apply the fix" other="Apply # fixes" />
        </Button>
      </Group>
    </Modal>
  );
}
