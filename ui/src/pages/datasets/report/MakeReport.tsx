import { useLingui } from "@lingui/react/macro";
import { Button, Group, Modal, MultiSelect, NumberInput, Select, Stack } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useDatasets } from "@/api/datasets";
import { useCanHere, useProject } from "@/api/projects";
import { type Report, readableModelsOptions, useMakeReport } from "@/api/reports";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";

interface Props {
  dataset: Dataset;
  version: string;
  report: Report | undefined;
  opened: boolean;
  onClose: () => void;
}

const LENGTH = 512;

/** Have the report made again, for instance with the tokens of another model. */
export function MakeReport({ dataset, version, report, opened, onClose }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProject();
  const make = useMakeReport(dataset.uuid);
  const [model, setModel] = useState<string | null>(null);
  const [length, setLength] = useState<number | string>(report?.tokens?.max_length ?? LENGTH);
  const models = useQuery({
    ...readableModelsOptions,
    enabled: opened && can("models:read"),
  }).data?.items.filter((each) => each.project === null || each.project === project.uuid);
  const [against, setAgainst] = useState<string[]>([]);
  const others = useDatasets(project.uuid)
    .data?.pages.flatMap((page) => page.items)
    .filter((other) => other.uuid !== dataset.uuid);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    make.mutate(
      {
        version,
        body: {
          base_model: model,
          max_length: typeof length === "number" ? length : LENGTH,
          // Nothing chosen means the data of the last report.
          against:
            against.length > 0
              ? against.map((other) => ({ dataset: other, role: "evaluation" as const, label: "" }))
              : null,
        },
      },
      {
        onSuccess: (task) => {
          notifications.show({ message: t`${task.name} is queued.` });
          onClose();
        },
      },
    );
  };
  return (
    <Modal opened={opened} onClose={onClose} title={t`Make the report of ${version} again`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Select
            label={t`Count the tokens of`}
            description={t`Without a model no tokens are counted, and too long rows are not found.`}
            placeholder={t`No model`}
            clearable
            allowDeselect
            searchable
            value={model}
            data={(models ?? []).map(({ uuid, name }) => ({ value: uuid, label: name }))}
            onChange={setModel}
          />
          <NumberInput
            label={t`Longest row in tokens`}
            description={t`Training cuts rows at this length; the report names those that are longer.`}
            min={8}
            max={1_048_576}
            allowDecimal={false}
            value={length}
            onChange={setLength}
          />
          <MultiSelect
            label={t`Compare with evaluation data`}
            description={t`Rows that are also in it are found, because they would make results look better than they are.`}
            placeholder={against.length > 0 ? undefined : t`As in the last report`}
            searchable
            clearable
            value={against}
            data={(others ?? []).map(({ uuid, name }) => ({ value: uuid, label: name }))}
            onChange={setAgainst}
          />
          <ErrorNotice error={make.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={make.isPending}>
              {t`Make the report`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
