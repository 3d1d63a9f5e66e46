import { useLingui } from "@lingui/react/macro";
import { Modal } from "@mantine/core";
import { lazy, Suspense, useEffect, useState } from "react";
import { OPEN_PALETTE } from "./open";

const PaletteBody = lazy(() =>
  import("./PaletteBody").then((module) => ({ default: module.PaletteBody })),
);

/** Find anything and do anything by typing: Ctrl-K. */
export function Palette({ project }: { project: string | undefined }) {
  const { t } = useLingui();
  const [opened, setOpened] = useState(false);
  useEffect(() => {
    const open = () => setOpened(true);
    const listen = (event: KeyboardEvent) => {
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
      {opened && (
        <Suspense fallback={null}>
          <PaletteBody project={project} close={() => setOpened(false)} />
        </Suspense>
      )}
    </Modal>
  );
}
