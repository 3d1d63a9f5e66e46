import { useLingui } from "@lingui/react/macro";
import { PasswordInput } from "@mantine/core";

interface Props {
  value: string;
  onChange: (value: string) => void;
}

/** The field of a password that is set. The API judges its strength and says what to do. */
export function NewPassword({ value, onChange }: Props) {
  const { t } = useLingui();
  return (
    <PasswordInput
      label={t`New password`}
      description={t`Four unrelated words are easy to remember and hard to guess.`}
      autoComplete="new-password"
      required
      withAsterisk={false}
      visibilityToggleButtonProps={{ "aria-label": t`Show the password` }}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
