import { useLingui } from "@lingui/react/macro";
import { Combobox, TextInput, useCombobox } from "@mantine/core";
import { IconFilter } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { complete } from "./complete";

interface Props {
  value: string;
  /** Called on Enter, and when the field is left. */
  onApply: (value: string) => void;
  /** The names that a filter can use here. */
  fields: readonly string[];
  /** Operators that only this kind of thing has. */
  operators?: readonly string[];
  placeholder: string;
  /** Why the API refused the filter. */
  error?: string | null;
  width?: number | string;
}

/** A filter in the filter language; names and operators are completed as one types. */
export function FilterInput(props: Props) {
  const { value, onApply, fields, operators, placeholder, error, width = 320 } = props;
  const { t } = useLingui();
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(0);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  useEffect(() => setText(value), [value]);
  const { from, options } = complete(text, caret, fields, operators);
  const change = (next: string, at: number) => {
    setText(next);
    setCaret(at);
    combobox.openDropdown();
    combobox.updateSelectedOptionIndex();
  };
  const choose = (option: string) => {
    const next = `${text.slice(0, from)}${option} `;
    const rest = text.slice(caret).trimStart();
    change(next + rest, next.length);
    requestAnimationFrame(() => input.current?.setSelectionRange(next.length, next.length));
  };
  const apply = () => {
    combobox.closeDropdown();
    if (text.trim() !== value) onApply(text.trim());
  };
  return (
    <Combobox store={combobox} onOptionSubmit={choose} shadow="md">
      <Combobox.Target withKeyboardNavigation>
        <TextInput
          ref={input}
          data-filter
          size="xs"
          w={width}
          leftSection={<IconFilter size={14} />}
          aria-label={t`Filter`}
          placeholder={placeholder}
          spellCheck={false}
          autoComplete="off"
          error={error}
          value={text}
          onChange={(event) =>
            change(event.currentTarget.value, event.currentTarget.selectionStart ?? 0)
          }
          onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? 0)}
          onFocus={() => combobox.openDropdown()}
          onBlur={apply}
          onKeyDown={(event) => {
            // Enter takes a suggestion only if one was chosen with the arrows.
            const chosen = combobox.dropdownOpened && combobox.getSelectedOptionIndex() >= 0;
            if (event.key === "Enter" && !chosen) apply();
          }}
        />
      </Combobox.Target>
      <Combobox.Dropdown hidden={options.length === 0}>
        <Combobox.Options aria-label={t`Suggestions`}>
          {options.map((option) => (
            <Combobox.Option key={option} value={option} className="mono">
              {option}
            </Combobox.Option>
          ))}
        </Combobox.Options>
      </Combobox.Dropdown>
    </Combobox>
  );
}
