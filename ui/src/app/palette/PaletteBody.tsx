import { useLingui } from "@lingui/react/macro";
import { Modal, ScrollArea, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useState } from "react";
import { OPEN_PALETTE } from "./open";
import classes from "./Palette.module.css";
import { type Entry, useEntries } from "./useEntries";

/** Find pages, projects, tasks and actions by typing: Ctrl-K. */
export function Palette({ project }: { project: string | undefined }) {
  const { t } = useLingui();
  const [opened, setOpened] = useState(false);
  useEffect(() => {
    const open = () => setOpened(true);
    const listen = (event: globalThis.KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setOpened((before) => !before);
    };
    document.addEventListener("keydown", listen);
    document.addEventListener(OPEN_PALETTE, open);
    return () => {
      document.removeEventListener("keydown", listen);
      document.removeEventListener(OPEN_PALETTE, open);
    };
  }, []);
  return (
    <Modal
      opened={opened}
      onClose={() => setOpened(false)}
      withCloseButton={false}
      padding={0}
      size="lg"
      yOffset="12vh"
      centered={false}
      // Not on the Modal itself, whose outer element has no role that may be labelled.
      attributes={{ content: { "aria-label": t`Find` } }}
    >
      {opened && <PaletteBody project={project} close={() => setOpened(false)} />}
    </Modal>
  );
}

function PaletteBody({ project, close }: { project: string | undefined; close: () => void }) {
  const { t } = useLingui();
  const navigate = useNavigate();
  const list = useId();
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const entries = useEntries(query, project);
  const choose = (entry: Entry | undefined) => {
    if (!entry) return;
    close();
    if (entry.run) entry.run();
    else if (entry.to) void navigate({ to: entry.to });
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
        data-autofocus
        variant="unstyled"
        size="md"
        px="md"
        py="xs"
        leftSection={<IconSearch size={18} />}
        placeholder={t`Find pages, projects, tasks, actions…`}
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
              onClick={() => choose(entry)}
            >
              <span className="truncate">{entry.label}</span>
              <span className="secondary">{entry.kind}</span>
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
