import { useEffect, useRef, useState } from "react";
import { isTyping } from "../keys";

interface Keys {
  count: number;
  onOpen: (index: number) => void;
  /** Shows the essentials of a row; without it, Space scrolls the page as everywhere. */
  onPeek?: (index: number) => void;
  onSelect: (index: number) => void;
  reveal: (index: number) => void;
}

/** Let `j` and `k` move through the rows, `x` select, Space preview, and Enter open. */
export function useTableKeys(keys: Keys): { active: number; setActive: (index: number) => void } {
  const [active, setActive] = useState(-1);
  const latest = useRef({ ...keys, active });
  latest.current = { ...keys, active };
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const { count, active: current, onOpen, onPeek, onSelect, reveal } = latest.current;
      const onRow =
        document.activeElement?.tagName === "TR" || document.activeElement === document.body;
      if (event.key === "j" || event.key === "k") {
        const next = Math.min(Math.max(current + (event.key === "j" ? 1 : -1), 0), count - 1);
        setActive(next);
        reveal(next);
      } else if (event.key === "x" && current >= 0) onSelect(current);
      else if (event.key === "Enter" && current >= 0 && onRow) onOpen(current);
      else if (event.key === " " && onPeek && current >= 0 && onRow) onPeek(current);
      else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
  return { active, setActive };
}
