import { Badge, Group } from "@mantine/core";

/** The aliases that point to a version. */
export function AliasBadges({ aliases }: { aliases: readonly string[] }) {
  if (aliases.length === 0) return null;
  return (
    <Group gap={4} wrap="nowrap" component="span" display="inline-flex">
      {aliases.map((alias) => (
        <Badge
          key={alias}
          variant="light"
          color="indigo"
          radius="sm"
          tt="none"
          fw={500}
          flex="none"
        >
          @{alias}
        </Badge>
      ))}
    </Group>
  );
}
