import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Badge, Menu, Tooltip, UnstyledButton } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import {
  IconArrowBackUp,
  IconArrowsDiff,
  IconDots,
  IconDownload,
  IconTag,
  IconTrash,
} from "@tabler/icons-react";
import { useState } from "react";
import {
  type DatasetVersion,
  downloadAddress,
  type Tag,
  useDeleteVersion,
  useRestoreVersion,
  useTag,
} from "@/api/datasets";
import { useCanHere, useProjectParam } from "@/api/projects";
import type { Dataset } from "@/api/types";
import { AnchorLink } from "@/design/links";
import { UserName } from "@/design/refs";
import { useComplain } from "@/design/useComplain";
import { Num, Size, TimeAgo } from "@/design/values";
import { useOperationLabel } from "../labels";
import { Score } from "../Score";
import { Graph } from "./Graph";
import type { Node } from "./lanes";
import { TagModal } from "./TagModal";
import classes from "./Versions.module.css";

interface Props {
  dataset: Dataset;
  version: DatasetVersion;
  tags: readonly Tag[];
  node: Node;
  lanes: number;
  onCompare: () => void;
}

/** One version: where it comes from, its tags, and what can be done with it. */
export function VersionRow({ dataset, version, tags, node, lanes, onCompare }: Props) {
  const { t } = useLingui();
  const project = useProjectParam();
  const operation = useOperationLabel();
  const current = version.version === dataset.version;
  return (
    <li className={classes.row}>
      <Graph node={node} lanes={lanes} />
      <span>
        <AnchorLink
          to="/p/$project/datasets/$dataset"
          params={{ project, dataset: dataset.uuid }}
          search={{ version: current ? undefined : version.version }}
          c="inherit"
          fw={600}
        >
          {version.version}
        </AnchorLink>
      </span>
      <span>
        <span className={classes.name}>
          {version.message ?? operation(version.made_by)}
          {current && (
            <Badge variant="default" radius="sm" tt="none" fw={500}>
              {t`current`}
            </Badge>
          )}
          {tags.map((tag) => (
            <TagBadge key={tag.name} dataset={dataset} tag={tag} />
          ))}
        </span>
        <span className={classes.about}>
          {operation(version.made_by)}
          {" · "}
          <UserName user={version.author} />
          {" · "}
          <TimeAgo time={version.created_at} />
        </span>
      </span>
      <span className={classes.figures}>
        <Tooltip label={t`Quality score`}>
          <span>
            <Score report={version.report} />
          </span>
        </Tooltip>
        <span>
          <Num value={version.row_count} /> <span className="secondary">{t`rows`}</span>
        </span>
        <Size bytes={version.file_size} />
        <VersionMenu dataset={dataset} version={version} onCompare={onCompare} />
      </span>
    </li>
  );
}

function TagBadge({ dataset, tag }: { dataset: Dataset; tag: Tag }) {
  const { t } = useLingui();
  const can = useCanHere();
  const change = useTag(dataset.uuid);
  const complain = useComplain();
  const label = (
    <Badge variant="light" color="indigo" radius="sm" tt="none" fw={500}>
      @{tag.name}
    </Badge>
  );
  if (!can("datasets:write")) return label;
  return (
    <Menu>
      <Menu.Target>
        <UnstyledButton aria-label={t`Tag ${tag.name}`}>{label}</UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          leftSection={<IconTrash size={16} />}
          onClick={() =>
            change.mutate(
              { tag: tag.name, version: null },
              {
                onError: complain,
                onSuccess: () =>
                  notifications.show({ message: t`The tag ${tag.name} was removed.` }),
              },
            )
          }
        >
          {t`Remove the tag`}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

interface MenuProps {
  dataset: Dataset;
  version: DatasetVersion;
  onCompare: () => void;
}

function VersionMenu({ dataset, version, onCompare }: MenuProps) {
  const { t } = useLingui();
  const can = useCanHere();
  const complain = useComplain();
  const restore = useRestoreVersion(dataset.uuid);
  const remove = useDeleteVersion(dataset.uuid);
  const [tagging, setTagging] = useState(false);
  const label = version.version;
  const current = label === dataset.version;
  return (
    <>
      <Menu>
        <Menu.Target>
          <ActionIcon aria-label={t`What to do with ${label}`}>
            <IconDots size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconArrowsDiff size={16} />} onClick={onCompare}>
            {version.parent ? t`Compare with ${version.parent}` : t`Compare with the current`}
          </Menu.Item>
          <Menu.Item
            component="a"
            href={downloadAddress(dataset.uuid, label, "jsonl")}
            download
            leftSection={<IconDownload size={16} />}
          >
            {t`Download as JSON Lines`}
          </Menu.Item>
          {can("datasets:write") && (
            <>
              <Menu.Item leftSection={<IconTag size={16} />} onClick={() => setTagging(true)}>
                {t`Set a tag`}
              </Menu.Item>
              {!current && (
                <Menu.Item
                  leftSection={<IconArrowBackUp size={16} />}
                  onClick={() =>
                    restore.mutate(label, {
                      onError: complain,
                      onSuccess: (made) =>
                        notifications.show({
                          message: t`${made.version} has the rows of ${label}.`,
                        }),
                    })
                  }
                >
                  {t`Go back to this version`}
                </Menu.Item>
              )}
              {version.parent !== null && (
                <Menu.Item
                  color="red"
                  leftSection={<IconTrash size={16} />}
                  onClick={() => remove.mutate(label, { onError: complain })}
                >
                  {t`Delete this version`}
                </Menu.Item>
              )}
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      <TagModal
        dataset={dataset}
        version={label}
        opened={tagging}
        onClose={() => setTagging(false)}
      />
    </>
  );
}
