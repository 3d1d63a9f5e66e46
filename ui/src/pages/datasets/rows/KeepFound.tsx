import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useFilterRows } from "@/api/datasets";
import type { Dataset } from "@/api/types";
import { useComplain } from "@/design/useComplain";

interface Props {
  dataset: Dataset;
  version: string;
  where: string;
}

/** Make a version of only the rows that a filter finds, or of all others. */
export function KeepFound({ dataset, version, where }: Props) {
  const { t } = useLingui();
  const filter = useFilterRows(dataset.uuid);
  const complain = useComplain();
  // The current version is the parent unless an older one is shown: then this makes a branch.
  const parent = version === dataset.version ? null : version;
  const run = (drop: boolean) =>
    filter.mutate(
      { where: [where], drop, parent },
      {
        onError: complain,
        onSuccess: (made) =>
          notifications.show({
            message: t`${made.version} has ${made.row_count} rows. ${version} stays as it is.`,
          }),
      },
    );
  return (
    <Group gap="sm" mb="sm">
      <Text size="xs" c="dimmed">
        {t`Make a new version:`}
      </Text>
      <Button
        variant="default"
        loading={filter.isPending && !filter.variables.drop}
        onClick={() => run(false)}
      >
        {t`Keep only the rows found`}
      </Button>
      <Button
        variant="default"
        loading={filter.isPending && filter.variables.drop}
        onClick={() => run(true)}
      >
        {t`Drop the rows found`}
      </Button>
    </Group>
  );
}
