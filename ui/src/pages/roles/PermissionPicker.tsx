import { useLingui } from "@lingui/react/macro";
import { Checkbox, Fieldset, Stack } from "@mantine/core";
import { covers } from "@/api/permissions";
import type { PermissionEntry } from "@/api/roles";
import { byResource, useDescription, useResourceLabel } from "./labels";

interface Props {
  label: string;
  /** What can be chosen. */
  permissions: readonly PermissionEntry[];
  value: readonly string[];
  onChange: (value: string[]) => void;
  /** Offer `*` and `resource:*`, which also cover what later versions add. */
  wildcards?: boolean;
  readOnly?: boolean;
}

/** Choose permissions, each with what it allows. */
export function PermissionPicker(props: Props) {
  const { label, permissions, value, onChange, wildcards = false, readOnly = false } = props;
  const { t } = useLingui();
  const resourceLabel = useResourceLabel();
  const describe = useDescription();
  const toggle = (permission: string) =>
    onChange(
      value.includes(permission)
        ? value.filter((other) => other !== permission)
        : [...value, permission],
    );
  const everything = value.includes("*");
  return (
    <Fieldset legend={label} disabled={readOnly} variant="unstyled">
      <Stack gap="md" mt="sm">
        {wildcards && (
          <Checkbox
            size="xs"
            label={t`Everything, also what later versions add`}
            checked={everything}
            onChange={() => toggle("*")}
          />
        )}
        {byResource(permissions).map(([resource, entries]) => {
          const all = `${resource}:*`;
          const covered = everything || value.includes(all);
          return (
            <Fieldset key={resource} legend={resourceLabel(resource)} variant="unstyled">
              <Stack gap={6} mt={4}>
                {wildcards && (
                  <Checkbox
                    size="xs"
                    label={t`All of this`}
                    checked={covered}
                    disabled={everything}
                    onChange={() => toggle(all)}
                  />
                )}
                {entries.map((entry) => (
                  <Checkbox
                    key={entry.permission}
                    size="xs"
                    label={describe(entry)}
                    description={entry.permission}
                    checked={covers(value, entry.permission)}
                    disabled={covered}
                    onChange={() => toggle(entry.permission)}
                  />
                ))}
              </Stack>
            </Fieldset>
          );
        })}
      </Stack>
    </Fieldset>
  );
}
