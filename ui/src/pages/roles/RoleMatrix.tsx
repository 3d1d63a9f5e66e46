import { useLingui } from "@lingui/react/macro";
import { UnstyledButton } from "@mantine/core";
import { IconCheck, IconLock } from "@tabler/icons-react";
import { Fragment } from "react";
import { covers } from "@/api/permissions";
import type { PermissionEntry, Role } from "@/api/roles";
import { byResource, useDescription, useResourceLabel } from "./labels";
import classes from "./Roles.module.css";

interface Props {
  permissions: readonly PermissionEntry[];
  roles: readonly Role[];
  shown: string | undefined;
  onOpen: (role: Role) => void;
}

/** Which role allows what: one column for each role. */
export function RoleMatrix({ permissions, roles, shown, onOpen }: Props) {
  const { t } = useLingui();
  const resourceLabel = useResourceLabel();
  const describe = useDescription();
  return (
    // biome-ignore lint/a11y/useSemanticElements: a region that scrolls must have a name
    <div className={classes.scroll} tabIndex={0} role="region" aria-label={t`Permissions of roles`}>
      <table className={classes.matrix}>
        <thead>
          <tr>
            <th scope="col">
              <span className="visually-hidden">{t`Permission`}</span>
            </th>
            {roles.map((role) => (
              <th key={role.uuid} scope="col" data-shown={role.name === shown || undefined}>
                <UnstyledButton
                  fw={600}
                  fz={13}
                  c="var(--mantine-color-anchor)"
                  onClick={() => onOpen(role)}
                >
                  {role.name}
                  {role.is_system && (
                    <>
                      {" "}
                      <IconLock size={12} aria-hidden />
                      <span className="visually-hidden">{t`System role`}</span>
                    </>
                  )}
                </UnstyledButton>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {byResource(permissions).map(([resource, entries]) => (
            <Fragment key={resource}>
              <tr data-group>
                <th scope="rowgroup" colSpan={roles.length + 1}>
                  {resourceLabel(resource)}
                </th>
              </tr>
              {entries.map((entry) => (
                <tr key={entry.permission}>
                  <th scope="row" title={entry.permission}>
                    {describe(entry)}
                  </th>
                  {roles.map((role) => {
                    const held = covers(role.permissions, entry.permission);
                    return (
                      <td
                        key={role.uuid}
                        data-held={held || undefined}
                        data-shown={role.name === shown || undefined}
                      >
                        {held && <IconCheck size={16} aria-hidden />}
                        <span className="visually-hidden">{held ? t`yes` : t`no`}</span>
                      </td>
                    );
                  })}
                </tr>
              ))}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  );
}
