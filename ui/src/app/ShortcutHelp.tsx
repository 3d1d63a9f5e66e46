import { useLingui } from "@lingui/react/macro";
import { Kbd, Modal, Table } from "@mantine/core";
import { useEffect, useState } from "react";
import { isTyping } from "@/design/keys";

const OPEN = "aiplatform:shortcuts";

export function openShortcutHelp(): void {
  document.dispatchEvent(new Event(OPEN));
}

/** The sheet of keyboard shortcuts; `?` opens it. `/` goes to the page's filter. */
export function ShortcutHelp() {
  const { t } = useLingui();
  const [opened, setOpened] = useState(false);
  useEffect(() => {
    const open = () => setOpened(true);
    const listen = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      if (event.key === "?") open();
      else if (event.key === "/") {
        const filter = document.querySelector<HTMLInputElement>("[data-filter]");
        if (!filter) return;
        filter.focus();
        filter.select();
      } else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", listen);
    document.addEventListener(OPEN, open);
    return () => {
      document.removeEventListener("keydown", listen);
      document.removeEventListener(OPEN, open);
    };
  }, []);
  const rows: [string[], string][] = [
    [["Ctrl", "K"], t`Find anything and do anything`],
    [["/"], t`Filter the list`],
    [["j"], t`Next row`],
    [["k"], t`Previous row`],
    [["x"], t`Select the row`],
    [["Space"], t`Preview the row`],
    [["Enter"], t`Open the row`],
    [["?"], t`Show this sheet`],
  ];
  return (
    <Modal opened={opened} onClose={() => setOpened(false)} title={t`Keyboard shortcuts`}>
      <Table>
        <Table.Tbody>
          {rows.map(([keys, text]) => (
            <Table.Tr key={text}>
              <Table.Td w={120}>
                {keys.map((key) => (
                  <Kbd key={key} mr={4}>
                    {key}
                  </Kbd>
                ))}
              </Table.Td>
              <Table.Td>{text}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
