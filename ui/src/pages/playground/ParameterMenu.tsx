import { useLingui } from "@lingui/react/macro";
import {
  ActionIcon,
  Button,
  Group,
  NumberInput,
  Popover,
  Stack,
  Text,
  Textarea,
  Tooltip,
} from "@mantine/core";
import { IconAdjustments } from "@tabler/icons-react";
import { DEFAULTS, type Parameters } from "./parameters";

interface Props {
  label: string;
  parameters: Parameters;
  /** `everywhere`: the other columns get them too. */
  onChange: (parameters: Parameters, everywhere: boolean) => void;
  several: boolean;
}

type NumberField = "temperature" | "topP" | "maxTokens" | "seed";

/** System prompt and parameters of one model; the browser remembers them for it. */
export function ParameterMenu({ label, parameters, onChange, several }: Props) {
  const { t } = useLingui();
  const change = (part: Partial<Parameters>) => onChange({ ...parameters, ...part }, false);
  const number = (field: NumberField) => ({
    size: "xs",
    value: parameters[field],
    placeholder: t`up to the server`,
    onChange: (value: number | string) =>
      change({ [field]: typeof value === "number" ? value : "" }),
  });
  const changed = JSON.stringify(parameters) !== JSON.stringify(DEFAULTS);
  return (
    <Popover
      position="bottom-end"
      shadow="md"
      width={360}
      withinPortal
      trapFocus
      returnFocus
      transitionProps={{ duration: 100 }}
    >
      <Popover.Target>
        <Tooltip label={t`System prompt and parameters`}>
          <ActionIcon
            aria-label={t`System prompt and parameters of ${label}`}
            color={parameters.system ? undefined : "gray"}
          >
            <IconAdjustments size={17} />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown aria-label={t`System prompt and parameters`}>
        <Stack gap="sm">
          <Textarea
            size="xs"
            label={t`System prompt`}
            description={t`Who the model is and how it answers; it comes before every chat.`}
            rows={4}
            value={parameters.system}
            onChange={({ currentTarget: { value } }) => change({ system: value })}
          />
          <Group grow gap="sm" align="start">
            <NumberInput
              {...number("temperature")}
              label={t`Temperature`}
              description={t`0 is steady, 1 varied.`}
              min={0}
              max={2}
              step={0.1}
            />
            <NumberInput
              {...number("topP")}
              label="Top-p"
              description={t`Share of likely words.`}
              min={0.01}
              max={1}
              step={0.05}
            />
          </Group>
          <Group grow gap="sm" align="start">
            <NumberInput
              {...number("maxTokens")}
              label={t`Longest answer`}
              description={t`In tokens.`}
              min={1}
              allowDecimal={false}
            />
            <NumberInput
              {...number("seed")}
              label={t`Seed`}
              description={t`Same seed, same answer.`}
              allowDecimal={false}
            />
          </Group>
          <Textarea
            size="xs"
            label={t`Stop at`}
            description={t`Texts that end an answer, one in each line.`}
            rows={2}
            value={parameters.stop}
            onChange={({ currentTarget: { value } }) => change({ stop: value })}
          />
          <Group gap="sm" justify="space-between">
            <Button variant="subtle" disabled={!changed} onClick={() => onChange(DEFAULTS, false)}>
              {t`Defaults`}
            </Button>
            {several && (
              <Button variant="default" onClick={() => onChange(parameters, true)}>
                {t`Same for all columns`}
              </Button>
            )}
          </Group>
          <Text size="xs" c="dimmed">
            {t`This browser remembers them for this model.`}
          </Text>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
