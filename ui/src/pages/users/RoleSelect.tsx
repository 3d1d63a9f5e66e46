import { useLingui } from "@lingui/react/macro";
import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { covers } from "@/api/permissions";
import { rolesOptions } from "@/api/roles";
import { useMe } from "@/api/session";

interface Props {
  value: string;
  onChange: (role: string) => void;
  readOnly?: boolean;
}

/** Choose a role on the platform, among those that the user may give. */
export function RoleSelect({ value, onChange, readOnly }: Props) {
  const { t } = useLingui();
  const me = useMe();
  const roles = useQuery(rolesOptions).data?.items ?? [];
  const givable = roles.filter((role) =>
    role.permissions.every((permission) => covers(me.permissions, permission)),
  );
  const names = [...new Set(["user", ...givable.map((role) => role.name), value])];
  return (
    <Select
      label={t`Role on the platform`}
      description={t`"user" may create projects of their own, and nothing else.`}
      readOnly={readOnly}
      value={value}
      onChange={(role) => role && onChange(role)}
      data={names}
    />
  );
}
