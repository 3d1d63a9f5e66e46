import { useLingui } from "@lingui/react/macro";
import { ScrollArea, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import classes from "./Palette.module.css";
import { type Entry, useEntries } from "./useEntries";

interface Props {
  project: string | undefined;
  close: () => void;
}

/** What the palette shows once it is open. It is loaded then, and not with the page. */
export function PaletteBody({ project, close }: Props) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const list = useId();
  // The dialog looks for the field when it opens; the first time, this part is not loaded then.
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const entries = useEntries(query, project);
  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    close();
    if (entry.run) entry.run();
    else if (entry.href) void navigate({ href: entry.href });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "ArrowDown") setActive((active + 1) % Math.max(entries.length, 1));
    else if (event.key === "ArrowUp")
      setActive((active - 1 + entries.length) % Math.max(entries.length, 1));
    else if (event.key === "Enter") choose(entries[active]);
    else return;
    event.preventDefault();
  };
  return (
    <div>
      <TextInput
        ref={field}
        data-autofocus
        variant="unstyled"
        size="md"
        px="md"
        py="xs"
        leftSection={<IconSearch size={18} />}
        placeholder={t`Find projects, datasets, runs, models, pages, actions…`}
        aria-label={t`Find`}
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={entries[active] ? `${list}-${active}` : undefined}
        value={query}
        onChange={(event) => {
          setQuery(event.currentTarget.value);
          setActive(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ScrollArea.Autosize mah="50vh" className={classes.results}>
        <div id={list} role="listbox" aria-label={t`Results`}>
          {entries.map((entry, index) => (
            // biome-ignore lint/a11y/useFocusableInteractive: the text field keeps the focus
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are handled by the text field
            <div
              key={entry.key}
              id={`${list}-${index}`}
              role="option"
              aria-selected={index === active}
              className={classes.entry}
              data-active={index === active || undefined}
              onMouseMove={() => setActive(index)}
              ref={index === active ? reveal : undefined}
              onClick={() => choose(entry)}
            >
              <span className="truncate">{entry.label}</span>
              <span className={`secondary ${classes.kind}`}>{entry.kind}</span>
            </div>
          ))}
        </div>
        {entries.length === 0 && (
          <Text p="md" c="dimmed">
            {t`Nothing of this name.`}
          </Text>
        )}
      </ScrollArea.Autosize>
    </div>
  );
}

function reveal(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}
