import { Trans, useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Menu, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import {
  IconDots,
  IconMessage,
  IconPlayerPlay,
  IconRefresh,
  IconReplace,
  IconSquare,
  IconTrash,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { type DeploymentAction, useDeleteDeployment, useDeploymentAction } from "@/api/deployments";
import { ProblemError } from "@/api/problem";
import { useCanHere, useProjectParam } from "@/api/projects";
import type { Deployment } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { ButtonLink } from "@/design/links";
import { mayDo } from "./actions";
import { UpdateModel } from "./UpdateModel";

/** What one can do with a deployment in its present state. */
export function DeploymentActions({ deployment }: { deployment: Deployment }) {
  const { t } = useLingui();
  const can = useCanHere();
  const param = useProjectParam();
  const navigate = useNavigate();
  const act = useDeploymentAction();
  const remove = useDeleteDeployment();
  const [asking, setAsking] = useState(false);
  const [updating, setUpdating] = useState(false);
  const complain = (error: unknown) =>
    notifications.show({
      color: "red",
      title: error instanceof ProblemError ? error.problem.title : t`This did not work`,
      message:
        error instanceof ProblemError ? error.problem.detail : t`The platform does not answer.`,
    });
  const run = (action: DeploymentAction) =>
    act.mutate({ deployment: deployment.uuid, action }, { onError: complain });
  const busy = (action: DeploymentAction) => act.isPending && act.variables.action === action;
  const { name } = deployment;
  const may = can("inference:write");
  return (
    <>
      {deployment.status === "ready" && (
        <ButtonLink
          to="/p/$project/playground"
          params={{ project: param }}
          search={{ with: [deployment.uuid] }}
          leftSection={<IconMessage size={15} />}
        >
          {t`Try it`}
        </ButtonLink>
      )}
      {may && mayDo(deployment, "start") && (
        <Button
          leftSection={<IconPlayerPlay size={15} />}
          loading={busy("start")}
          onClick={() => run("start")}
        >
          {t`Start`}
        </Button>
      )}
      {may && mayDo(deployment, "stop") && (
        <Button
          variant="default"
          leftSection={<IconSquare size={15} />}
          loading={busy("stop")}
          onClick={() => run("stop")}
        >
          {t`Stop`}
        </Button>
      )}
      {may && (
        <Menu>
          <Menu.Target>
            <Tooltip label={t`More`}>
              <ActionIcon size="lg" aria-label={t`More`}>
                <IconDots size={18} />
              </ActionIcon>
            </Tooltip>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              leftSection={<IconReplace size={16} />}
              disabled={deployment.updating !== null}
              onClick={() => setUpdating(true)}
            >
              {t`Update`}
            </Menu.Item>
            {mayDo(deployment, "restart") && (
              <Menu.Item leftSection={<IconRefresh size={16} />} onClick={() => run("restart")}>
                {t`Restart`}
              </Menu.Item>
            )}
            <Menu.Item
              color="red"
              leftSection={<IconTrash size={16} />}
              onClick={() => setAsking(true)}
            >
              {t`Delete`}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
      {updating && <UpdateModel deployment={deployment} onClose={() => setUpdating(false)} />}
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete ${name}?`}
        action={t`Delete deployment`}
        phrase={name}
        onConfirm={() =>
          remove.mutate(deployment.uuid, {
            onSuccess: () =>
              void navigate({ to: "/p/$project/deployments", params: { project: param } }),
          })
        }
        pending={remove.isPending}
        error={remove.error}
      >
        <Trans>
          Programs that use this name get no more answers, and answers in progress end within a
          second. The model, the task and its log stay.
        </Trans>
      </Confirm>
    </>
  );
}
