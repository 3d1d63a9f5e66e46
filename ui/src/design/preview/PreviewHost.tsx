import { Paper, Portal } from "@mantine/core";
import { useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { PreviewCard, type PreviewKind } from "./PreviewCard";
import classes from "./PreviewCard.module.css";
import { placeCard } from "./place";

const OPEN_AFTER = 400;
/** Time to move the pointer from the reference onto the card. */
const CLOSE_AFTER = 150;

interface Shown {
  kind: PreviewKind;
  uuid: string;
  style: { left: number; top?: number; bottom?: number };
}

/** The card of the reference under the pointer or the focus. Escape closes it. */
export function PreviewHost() {
  const [shown, setShown] = useState<Shown | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const address = useRouterState({ select: (state) => state.location.href });
  const later = (action: () => void, after: number) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(action, after);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: another page has other references
  useEffect(() => {
    clearTimeout(timer.current);
    setShown(null);
  }, [address]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: listens once; `later` keeps no state
  useEffect(() => {
    const enter = (event: Event) => {
      const reference = referenceOf(event.target);
      if (!reference) return;
      if (event.type === "focusin" && !reference.matches(":focus-visible")) return;
      later(() => setShown(readShown(reference)), OPEN_AFTER);
    };
    const leave = (event: Event) => {
      if (referenceOf(event.target)) later(() => setShown(null), CLOSE_AFTER);
    };
    const close = () => {
      clearTimeout(timer.current);
      setShown(null);
    };
    const press = (event: KeyboardEvent) => {
      if (event.key === "Escape") close();
    };
    document.addEventListener("pointerover", enter);
    document.addEventListener("focusin", enter);
    document.addEventListener("pointerout", leave);
    document.addEventListener("focusout", leave);
    document.addEventListener("pointerdown", close);
    document.addEventListener("scroll", close, { capture: true });
    document.addEventListener("keydown", press);
    return () => {
      close();
      document.removeEventListener("pointerover", enter);
      document.removeEventListener("focusin", enter);
      document.removeEventListener("pointerout", leave);
      document.removeEventListener("focusout", leave);
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("scroll", close, { capture: true });
      document.removeEventListener("keydown", press);
    };
  }, []);
  if (!shown) return null;
  return (
    <Portal>
      <Paper
        className={classes.card}
        style={shown.style}
        shadow="md"
        withBorder
        role="tooltip"
        onPointerEnter={() => clearTimeout(timer.current)}
        onPointerLeave={() => later(() => setShown(null), CLOSE_AFTER)}
      >
        <PreviewCard kind={shown.kind} uuid={shown.uuid} />
      </Paper>
    </Portal>
  );
}

function referenceOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>("[data-preview]") : null;
}

function readShown(reference: HTMLElement): Shown | null {
  const [kind, uuid] = reference.dataset.preview?.split(":") ?? [];
  // The list may have changed while the pointer rested.
  if (!kind || !uuid || !reference.isConnected) return null;
  const { innerWidth: width, innerHeight: height } = window;
  return {
    kind: kind as PreviewKind,
    uuid,
    style: placeCard(reference.getBoundingClientRect(), { width, height }),
  };
}
