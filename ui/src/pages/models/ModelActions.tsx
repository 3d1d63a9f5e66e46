import { Trans, useLingui } from "@lingui/react/macro";
import { ActionIcon, Menu, Tooltip } from "@mantine/core";
import { IconDots, IconDownload, IconGitCompare, IconRocket, IconTrash } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useDeleteModel } from "@/api/models";
import { useCanHere, useProjectParam } from "@/api/projects";
import { useCan } from "@/api/session";
import type { Model } from "@/api/types";
import { Confirm } from "@/design/Confirm";
import { ButtonLink } from "@/design/links";
import { MenuItemLink } from "@/design/menuLinks";
import { modelLabel } from "./versions";

/** What one can do with a model. */
export function ModelActions({ model }: { model: Model }) {
  const { t } = useLingui();
  const here = useCanHere();
  const everywhere = useCan();
  const project = useProjectParam();
  const navigate = useNavigate();
  const remove = useDeleteModel();
  const [asking, setAsking] = useState(false);
  const label = modelLabel(model);
  const shared = model.project === null;
  const mayDelete = shared ? everywhere("*") : here("models:write");
  return (
    <>
      {here("inference:write") && model.status === "ready" && model.kind === "language_model" && (
        <ButtonLink
          to="/p/$project/deployments/new"
          params={{ project }}
          search={{ model: model.uuid }}
          leftSection={<IconRocket size={15} />}
        >
          {t`Deploy`}
        </ButtonLink>
      )}
      <Menu>
        <Menu.Target>
          <Tooltip label={t`More`}>
            <ActionIcon size="lg" aria-label={t`More`}>
              <IconDots size={18} />
            </ActionIcon>
          </Tooltip>
        </Menu.Target>
        <Menu.Dropdown>
          <MenuItemLink
            leftSection={<IconGitCompare size={16} />}
            to="/p/$project/models/compare"
            params={{ project }}
            search={{ a: model.base_model?.uuid, b: model.uuid }}
          >
            {t`Compare with another model`}
          </MenuItemLink>
          <MenuItemLink
            leftSection={<IconDownload size={16} />}
            to="/p/$project/models/$model"
            params={{ project, model: model.uuid }}
            search={{ tab: "files" }}
          >
            {t`Download`}
          </MenuItemLink>
          {mayDelete && (
            <Menu.Item
              color="red"
              leftSection={<IconTrash size={16} />}
              onClick={() => setAsking(true)}
            >
              {t`Delete`}
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <Confirm
        opened={asking}
        onClose={() => setAsking(false)}
        title={t`Delete ${label}?`}
        action={t`Delete model`}
        onConfirm={() =>
          remove.mutate(model.uuid, {
            onSuccess: () => void navigate({ to: "/p/$project/models", params: { project } }),
          })
        }
        pending={remove.isPending}
        error={remove.error}
      >
        {shared ? (
          <Trans>All projects lose this model. Models that were tuned from it prevent this.</Trans>
        ) : (
          <Trans>
            The model goes to the project's bin, from which it can be restored for some time. Tasks
            that have not ended and models that were tuned from it prevent this.
          </Trans>
        )}
      </Confirm>
    </>
  );
}
