import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Select, Tooltip } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { Status } from "@/design/Status";
import { ParameterMenu } from "./ParameterMenu";
import classes from "./Playground.module.css";
import type { Parameters } from "./parameters";
import type { Choice, Pane } from "./usePanes";

interface Props {
  pane: Pane;
  choices: readonly Choice[];
  /** Who answers in the other columns. */
  others: readonly string[];
  onChoose: (who: string) => void;
  onRemove?: () => void;
  onParameters: (parameters: Parameters, everywhere: boolean) => void;
}

/** Who answers in a column, and with which parameters. */
export function PaneHeader(props: Props) {
  const { pane, choices, others } = props;
  const { t } = useLingui();
  const options = choices.filter(({ value }) => !others.includes(value));
  // What the address names stays visible when it is no longer offered.
  if (!options.some(({ value }) => value === pane.who))
    options.unshift({ value: pane.who, label: pane.label, disabled: true });
  const status = pane.deployment?.status;
  return (
    <div className={classes.head}>
      <Select
        size="xs"
        aria-label={t`Who answers`}
        className={classes.who}
        allowDeselect={false}
        searchable={options.length > 8}
        value={pane.who}
        data={options}
        onChange={(value) => value && props.onChoose(value)}
      />
      {status && status !== "ready" && <Status status={status} />}
      <ParameterMenu
        label={pane.label}
        parameters={pane.parameters}
        onChange={props.onParameters}
        several={others.length > 0}
      />
      {props.onRemove && (
        <Tooltip label={t`Remove this column`}>
          <ActionIcon aria-label={t`Remove ${pane.label}`} onClick={props.onRemove}>
            <IconX size={16} />
          </ActionIcon>
        </Tooltip>
      )}
    </div>
  );
}
