import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Tooltip } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { openPalette } from "./open";

export function PaletteButton() {
  const { t } = useLingui();
  return (
    <Tooltip label={t`Find (Ctrl K)`}>
      <ActionIcon size="lg" aria-label={t`Find`} onClick={openPalette}>
        <IconSearch size={18} />
      </ActionIcon>
    </Tooltip>
  );
}
