import { useLingui } from "@lingui/react/macro";
import { Group, SegmentedControl, Slider, Switch, Text } from "@mantine/core";
import type { ChartSettings, XKind } from "./options";

interface Props {
  settings: ChartSettings;
  onSettings: (settings: ChartSettings) => void;
  x: XKind;
  onX: (x: XKind) => void;
  /** Offer the number of tokens as horizontal axis; the page must know it for each point. */
  withTokens?: boolean;
}

/** One toolbar for all charts of a page. */
export function ChartToolbar({ settings, onSettings, x, onX, withTokens }: Props) {
  const { t } = useLingui();
  const change = (part: Partial<ChartSettings>) => onSettings({ ...settings, ...part });
  return (
    <Group gap="lg" role="toolbar" aria-label={t`Charts`}>
      <SegmentedControl
        size="xs"
        value={x}
        onChange={(value) => onX(value as XKind)}
        aria-label={t`Horizontal axis`}
        data={[
          { value: "step", label: t`Step` },
          { value: "relative", label: t`Duration` },
          { value: "time", label: t`Time` },
          ...(withTokens ? [{ value: "tokens", label: t`Tokens` }] : []),
        ]}
      />
      <Group gap="sm">
        <Text size="xs" c="dimmed" id="smoothing-label">
          {t`Smoothing`}
        </Text>
        <Slider
          w={120}
          size="sm"
          min={0}
          max={0.99}
          step={0.01}
          value={settings.smoothing}
          onChange={(smoothing) => change({ smoothing })}
          label={(value) => value.toFixed(2)}
          thumbLabel={t`Smoothing`}
        />
      </Group>
      <Switch
        size="xs"
        label={t`Log scale`}
        checked={settings.log}
        onChange={(event) => change({ log: event.currentTarget.checked })}
      />
      <Switch
        size="xs"
        label={t`Clip outliers`}
        checked={settings.clip}
        onChange={(event) => change({ clip: event.currentTarget.checked })}
      />
    </Group>
  );
}
