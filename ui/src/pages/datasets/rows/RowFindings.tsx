import { Badge, Group } from "@mantine/core";
import type { Report } from "@/api/reports";
import { useFindingTitle } from "./useFindingTitle";

/** The findings that concern a row. */
export function RowFindings({
  codes,
  report,
}: {
  codes: readonly string[];
  report: Report | undefined;
}) {
  const title = useFindingTitle(report);
  if (codes.length === 0) return null;
  return (
    <Group gap="xs" mb="sm">
      {codes.map((code) => (
        <Badge key={code} variant="default" radius="sm" tt="none" fw={500} maw="100%">
          {title(code)}
        </Badge>
      ))}
    </Group>
  );
}
