import { Plural, useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { permissionsOptions, rolesOptions } from "@/api/roles";
import { useCan } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import { RoleDrawer } from "./RoleDrawer";
import { RoleMatrix } from "./RoleMatrix";
import type { RolesSearch } from "./search";

interface Props {
  search: RolesSearch;
  onSearch: (search: RolesSearch) => void;
}

/** Which roles there are and what each allows. */
export function RolesPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const can = useCan();
  const roles = useQuery(rolesOptions);
  const permissions = useQuery(permissionsOptions);
  const error = roles.error ?? permissions.error;
  const count = roles.data?.items.length ?? 0;
  return (
    <>
      <PageHeader
        title={t`Roles`}
        aside={
          roles.data && (
            <span className="secondary">
              <Plural value={count} one="# role" other="# roles" />
            </span>
          )
        }
        lead={t`A role says what its holders may do: on the whole platform, or in one project, where only what concerns projects counts. Choose a role to see or change it.`}
        actions={
          can("roles:write") && (
            <Button leftSection={<IconPlus size={16} />} onClick={() => onSearch({ role: "" })}>
              {t`Create role`}
            </Button>
          )
        }
      />
      <ErrorNotice
        error={error}
        onRetry={() => {
          void roles.refetch();
          void permissions.refetch();
        }}
      />
      {!error &&
        (roles.data && permissions.data ? (
          <RoleMatrix
            permissions={permissions.data.items}
            roles={roles.data.items}
            shown={search.role}
            onOpen={(role) => onSearch({ role: role.name })}
          />
        ) : (
          <PageSkeleton />
        ))}
      <RoleDrawer
        role={search.role}
        permissions={permissions.data?.items ?? []}
        onClose={() => onSearch({})}
      />
    </>
  );
}
