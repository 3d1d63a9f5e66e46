import { useLingui } from "@lingui/react/macro";
import { Skeleton, Stack } from "@mantine/core";

/** Placeholders with the shape of what is coming. They appear instead of spinners. */

export function TableSkeleton({ rows = 8 }: { rows?: number }) {
  const { t } = useLingui();
  return (
    <Stack gap={8} role="status" aria-label={t`Loading`}>
      {Array.from({ length: rows }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <Skeleton key={index} height={28} />
      ))}
    </Stack>
  );
}

export function PageSkeleton() {
  const { t } = useLingui();
  return (
    <Stack gap="md" role="status" aria-label={t`Loading`}>
      <Skeleton height={28} width={260} />
      <Skeleton height={64} />
      <Skeleton height={320} />
    </Stack>
  );
}
