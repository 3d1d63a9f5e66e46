import { useLingui } from "@lingui/react/macro";
import {
  ActionIcon,
  Autocomplete,
  Button,
  Checkbox,
  Group,
  Select,
  Stack,
  TextInput,
} from "@mantine/core";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { isComplete, PATHS, type ParameterDraft } from "./spec";

interface Props {
  parameters: readonly ParameterDraft[];
  onChange: (parameters: ParameterDraft[]) => void;
}

const EMPTY: ParameterDraft = {
  path: "",
  kind: "choice",
  values: "",
  low: "",
  high: "",
  log: false,
};

/** The searched parameters: a choice of values, or a range. */
export function ParameterRows({ parameters, onChange }: Props) {
  const { t } = useLingui();
  const change = (place: number, part: Partial<ParameterDraft>) =>
    onChange(parameters.map((item, index) => (index === place ? { ...item, ...part } : item)));
  return (
    <Stack gap="sm">
      {parameters.map((parameter, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a row has nothing else that stays
        <Group key={place} gap="sm" align="flex-end" wrap="wrap">
          <Autocomplete
            w={180}
            label={t`Setting`}
            value={parameter.path}
            onChange={(path) => change(place, { path })}
            data={PATHS}
          />
          <Select
            w={140}
            label={t`Searched as`}
            value={parameter.kind}
            onChange={(kind) =>
              change(place, { kind: (kind ?? "choice") as ParameterDraft["kind"] })
            }
            data={[
              { value: "choice", label: t`Values` },
              { value: "float", label: t`Range` },
              { value: "int", label: t`Whole numbers` },
            ]}
          />
          {parameter.kind === "choice" ? (
            <TextInput
              style={{ flex: "1 1 160px" }}
              label={t`Values, separated by commas`}
              placeholder="4, 8, 16"
              value={parameter.values}
              onChange={(event) => change(place, { values: event.currentTarget.value })}
            />
          ) : (
            <>
              <TextInput
                w={100}
                label={t`From`}
                placeholder="1e-5"
                value={parameter.low}
                onChange={(event) => change(place, { low: event.currentTarget.value })}
              />
              <TextInput
                w={100}
                label={t`To`}
                placeholder="1e-3"
                value={parameter.high}
                onChange={(event) => change(place, { high: event.currentTarget.value })}
              />
              <Checkbox
                mb={8}
                label={t`By orders of magnitude`}
                checked={parameter.log}
                onChange={(event) => change(place, { log: event.currentTarget.checked })}
              />
            </>
          )}
          <ActionIcon
            size="lg"
            aria-label={t`Remove ${parameter.path || place + 1}`}
            onClick={() => onChange(parameters.filter((_item, index) => index !== place))}
          >
            <IconTrash size={16} />
          </ActionIcon>
          {!isComplete(parameter) && <span className="secondary">{t`Fill in this line.`}</span>}
        </Group>
      ))}
      <div>
        <Button
          variant="default"
          leftSection={<IconPlus size={14} />}
          onClick={() => onChange([...parameters, EMPTY])}
        >
          {t`Add a setting`}
        </Button>
      </div>
    </Stack>
  );
}
