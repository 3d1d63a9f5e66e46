import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Menu } from "@mantine/core";
import { IconDots, IconPlayerPlay } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useArchiveExperiments, useDeleteExperiment, useStartRun } from "@/api/experiments";
import { useCanHere, useProjectParam } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { MenuItemLink } from "@/design/menuLinks";
import { useComplain } from "@/design/useComplain";
import { CloneExperiment } from "./CloneExperiment";
import { isGateFailure, OverrideGate } from "./OverrideGate";

/** What one can do with an experiment. */
export function ExperimentActions({ experiment }: { experiment: Experiment }) {
  const { t } = useLingui();
  const can = useCanHere();
  const project = useProjectParam();
  const navigate = useNavigate();
  const complain = useComplain();
  const start = useStartRun();
  const archive = useArchiveExperiments();
  const remove = useDeleteExperiment(experiment.uuid);
  const [dialog, setDialog] = useState<"clone" | "delete" | null>(null);
  if (!can("training:write")) return null;
  const archived = experiment.archived_at !== null;
  const run = (reason?: string) =>
    start.mutate(
      { experiment: experiment.uuid, priority: 5, override_gate: reason },
      {
        onSuccess: (task) =>
          void navigate({ to: "/p/$project/tasks/$task", params: { project, task: task.uuid } }),
        onError: (error) => !isGateFailure(error) && complain(error),
      },
    );
  return (
    <>
      {!archived && (
        <Button
          leftSection={<IconPlayerPlay size={15} />}
          loading={start.isPending}
          onClick={() => run()}
        >
          {t`Start a run`}
        </Button>
      )}
      <Menu>
        <Menu.Target>
          <ActionIcon aria-label={t`More actions`} size="lg">
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => setDialog("clone")}>{t`Clone`}</Menu.Item>
          <MenuItemLink
            to="/p/$project/experiments/new"
            params={{ project }}
            search={{ from: experiment.uuid }}
          >
            {t`New training with these settings`}
          </MenuItemLink>
          <MenuItemLink
            to="/p/$project/sweeps/new"
            params={{ project }}
            search={{ experiment: experiment.uuid }}
          >
            {t`Search for better settings`}
          </MenuItemLink>
          <MenuItemLink
            to="/p/$project/schedules"
            params={{ project }}
            search={{ create: true, experiment: experiment.uuid }}
          >
            {t`Run on a schedule`}
          </MenuItemLink>
          <Menu.Divider />
          <Menu.Item
            onClick={() =>
              archive.mutate(
                { experiments: [experiment.uuid], archived: !archived },
                { onError: complain },
              )
            }
          >
            {archived ? t`Take out of the archive` : t`Archive`}
          </Menu.Item>
          <Menu.Item color="red" onClick={() => setDialog("delete")}>
            {t`Delete`}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <CloneExperiment
        experiment={experiment}
        opened={dialog === "clone"}
        onClose={() => setDialog(null)}
      />
      <OverrideGate
        error={start.error}
        onClose={() => start.reset()}
        onOverride={run}
        pending={start.isPending}
      />
      <Confirm
        opened={dialog === "delete"}
        onClose={() => setDialog(null)}
        title={t`Delete this experiment?`}
        action={t`Delete`}
        phrase={experiment.name}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() =>
          remove.mutate(undefined, {
            onSuccess: () => void navigate({ to: "/p/$project/experiments", params: { project } }),
          })
        }
      >
        {t`The experiment and its sweeps are permanently deleted. Its runs and models are kept. To hide it instead, archive it.`}
      </Confirm>
    </>
  );
}
