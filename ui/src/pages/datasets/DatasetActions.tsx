import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, Tooltip } from "@mantine/core";
import { IconArrowsSplit, IconDots, IconDownload, IconPlus, IconTrash } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { downloadAddress, type GridColumn, useDeleteDataset } from "@/api/datasets";
import { useCanHere, useProjectParam } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { ButtonLink } from "@/design/links";
import { SplitDialog } from "./SplitDialog";

interface Props {
  dataset: Dataset;
  /** The version that is shown, which downloads are of. */
  version: string;
  columns: readonly GridColumn[];
}

/** Download a version, add the next one, or delete the dataset. */
export function DatasetActions({ dataset, version, columns }: Props) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const [splitting, setSplitting] = useState(false);
  const remove = useDeleteDataset(dataset.uuid);
  const formats = [
    ["parquet", "Parquet"],
    ["jsonl", "JSON Lines"],
    ["csv", "CSV"],
  ] as const;
  return (
    <>
      {can("datasets:write") && (
        <ButtonLink
          to="/p/$project/datasets/new"
          params={{ project }}
          search={{ dataset: dataset.uuid }}
          variant="default"
          leftSection={<IconPlus size={15} />}
        >
          {t`Add a version`}
        </ButtonLink>
      )}
      <Menu>
        <Menu.Target>
          <Tooltip label={t`Download and more`}>
            <ActionIcon size="lg" aria-label={t`Download and more`}>
              <IconDots size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>{t`Download ${version}`}</Menu.Label>
          {formats.map(([format, name]) => (
            <Menu.Item
              key={format}
              component="a"
              href={downloadAddress(dataset.uuid, version, format)}
              download
              leftSection={<IconDownload size={16} />}
            >
              {name}
            </Menu.Item>
          ))}
          <Menu.Item
            component="a"
            href={downloadAddress(dataset.uuid, version, "original")}
            download
            leftSection={<IconDownload size={16} />}
          >
            {t`The file as it was uploaded`}
          </Menu.Item>
          {can("datasets:write") && (
            <>
              <Menu.Divider />
              <Menu.Item
                leftSection={<IconArrowsSplit size={16} />}
                onClick={() => setSplitting(true)}
              >
                {t`Split for training and evaluation`}
              </Menu.Item>
              <Menu.Item
                color="red"
                leftSection={<IconTrash size={16} />}
                onClick={() => setAsking(true)}
              >
                {t`Delete the dataset`}
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      <SplitDialog
        dataset={dataset}
        version={version}
        columns={columns}
        opened={splitting}
        onClose={() => setSplitting(false)}
      />
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete ${dataset.name}?`}
        action={t`Delete the dataset`}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() =>
          remove.mutate(undefined, {
            onSuccess: () => void navigate({ to: "/p/$project/datasets", params: { project } }),
          })
        }
      >
        {t`All its versions and reports go. It stays in the project's bin for some days, from where it can be restored.`}
      </Confirm>
    </>
  );
}
