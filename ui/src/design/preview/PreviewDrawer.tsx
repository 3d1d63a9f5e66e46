import { useLingui } from "@lingui/react/macro";
import { Drawer, Group, Stack } from "@mantine/core";
import { useProjectParam } from "@/api/projects";
import { ButtonLink } from "../links";
import { PreviewCard } from "./PreviewCard";

export type PeekKind = "dataset" | "experiment" | "model" | "task";

interface Props {
  kind: PeekKind;
  /** What is shown; without it, the drawer is closed. */
  uuid: string | undefined;
  onClose: () => void;
}

/** The essentials of a row beside its list, with the way to its page. Escape closes it. */
export function PreviewDrawer({ kind, uuid, onClose }: Props) {
  const { t } = useLingui();
  return (
    <Drawer
      opened={uuid !== undefined}
      onClose={onClose}
      position="right"
      title={t`Preview`}
      closeButtonProps={{ "aria-label": t`Close` }}
    >
      {uuid && (
        <Stack gap="lg">
          <div>
            <PreviewCard kind={kind} uuid={uuid} />
          </div>
          <Group>
            <OpenPage kind={kind} uuid={uuid} />
          </Group>
        </Stack>
      )}
    </Drawer>
  );
}

function OpenPage({ kind, uuid }: { kind: PeekKind; uuid: string }) {
  const { t } = useLingui();
  const project = useProjectParam();
  const text = t`Open the page`;
  switch (kind) {
    case "dataset":
      return (
        <ButtonLink to="/p/$project/datasets/$dataset" params={{ project, dataset: uuid }}>
          {text}
        </ButtonLink>
      );
    case "experiment":
      return (
        <ButtonLink to="/p/$project/experiments/$experiment" params={{ project, experiment: uuid }}>
          {text}
        </ButtonLink>
      );
    case "model":
      return (
        <ButtonLink to="/p/$project/models/$model" params={{ project, model: uuid }}>
          {text}
        </ButtonLink>
      );
    case "task":
      return (
        <ButtonLink to="/p/$project/tasks/$task" params={{ project, task: uuid }}>
          {text}
        </ButtonLink>
      );
  }
}
