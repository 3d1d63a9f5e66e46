import { useLingui } from "@lingui/react/macro";
import {
  Button,
  Checkbox,
  Group,
  Modal,
  NumberInput,
  Select,
  Stack,
  TextInput,
} from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type GridColumn, useSplit } from "@/api/datasets";
import { useProjectParam } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";

interface Props {
  dataset: Dataset;
  version: string;
  columns: readonly GridColumn[];
  opened: boolean;
  onClose: () => void;
}

const SHARE = 10;

/** Set some rows aside for evaluation: two new datasets that share no question. */
export function SplitDialog({ dataset, version, columns, opened, onClose }: Props) {
  const { t } = useLingui();
  const project = useProjectParam();
  const navigate = useNavigate();
  const split = useSplit(dataset.uuid);
  const [share, setShare] = useState<number | string>(SHARE);
  const [names, setNames] = useState({
    train: `${dataset.name}-train`,
    eval: `${dataset.name}-eval`,
  });
  const [seed, setSeed] = useState<number | string>(0);
  const [stratify, setStratify] = useState<string | null>(null);
  const [near, setNear] = useState(false);
  const held = typeof share === "number" ? Math.min(Math.max(share, 1), 99) / 100 : SHARE / 100;
  const plain = columns.filter(({ type }) => type !== "messages" && type !== "json");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    split.mutate(
      {
        version,
        // The fractions have to add up to 1 exactly enough.
        fractions: { train: Math.round((1 - held) * 1e6) / 1e6, eval: held },
        names: { train: names.train.trim(), eval: names.eval.trim() },
        seed: typeof seed === "number" ? seed : 0,
        stratify,
        by: "question",
        near,
      },
      {
        onSuccess: () => {
          onClose();
          void navigate({ to: "/p/$project/datasets", params: { project } });
        },
      },
    );
  };
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t`Split ${version} for training and evaluation`}
    >
      <form onSubmit={submit}>
        <Stack gap="md">
          <NumberInput
            data-autofocus
            label={t`Rows for evaluation, in per cent`}
            description={t`All rows with the same question go to the same side, so nothing that is asked in training is asked again in evaluation.`}
            min={1}
            max={99}
            allowDecimal={false}
            suffix=" %"
            value={share}
            onChange={setShare}
          />
          <Group grow align="flex-start">
            <TextInput
              label={t`Dataset for training`}
              value={names.train}
              onChange={(event) => setNames({ ...names, train: event.currentTarget.value })}
            />
            <TextInput
              label={t`Dataset for evaluation`}
              value={names.eval}
              onChange={(event) => setNames({ ...names, eval: event.currentTarget.value })}
            />
          </Group>
          <Group grow align="flex-start">
            <Select
              label={t`Equal shares of the values of`}
              clearable
              allowDeselect
              placeholder={t`No column`}
              value={stratify}
              data={plain.map(({ name }) => name)}
              onChange={setStratify}
            />
            <NumberInput
              label={t`Seed`}
              min={0}
              allowDecimal={false}
              value={seed}
              onChange={setSeed}
            />
          </Group>
          <Checkbox
            label={t`Keep rows together that differ in a few words, too`}
            checked={near}
            onChange={(event) => setNear(event.currentTarget.checked)}
          />
          <ErrorNotice error={split.error} />
          <Group justify="flex-end" gap="sm">
            <Button variant="default" onClick={onClose}>
              {t`Cancel`}
            </Button>
            <Button type="submit" loading={split.isPending}>
              {t`Make two datasets`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
