import { NumberInput } from "@mantine/core";

interface Props {
  label: string;
  /** One plain sentence: what it is and what more of it does. */
  description: string;
  value: number;
  onChange: (value: number) => void;
  min?: number;
  max?: number;
  step?: number;
  whole?: boolean;
  /** What the figure 0 means, shown instead of it. */
  zero?: string;
  error?: string;
}

/** A number of the form. An empty field is kept as NaN, which the form refuses to submit. */
export function NumberField(props: Props) {
  const { value, zero, whole = false } = props;
  const shown = !Number.isFinite(value ?? Number.NaN) || (zero && value === 0) ? "" : value;
  return (
    <NumberInput
      label={props.label}
      description={props.description}
      placeholder={zero}
      value={shown}
      onChange={(next) => props.onChange(typeof next === "number" ? next : zero ? 0 : Number.NaN)}
      min={props.min}
      max={props.max}
      step={props.step}
      allowDecimal={!whole}
      decimalScale={whole ? 0 : 12}
      clampBehavior="none"
      error={props.error}
      hideControls
      maw={320}
    />
  );
}
