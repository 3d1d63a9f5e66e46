import { useCallback, useEffect, useRef, useState } from "react";
import type { Steps } from "@/api/types";
import type { XKind } from "./options";

/** A zoom is a burst of changes while the pointer moves; the last one counts. */
const PAUSE = 200;

interface Visible {
  /** The steps that are shown, if charts over steps are zoomed. */
  steps: Steps | null;
  onZoom: (range: [number, number] | null) => void;
}

/** Return the part of the charts that is shown, so that the page can fetch it in full. */
export function useVisibleSteps(x: XKind): Visible {
  const [steps, setSteps] = useState<Steps | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const onZoom = useCallback((range: [number, number] | null) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSteps(range && around(range)), PAUSE);
  }, []);
  return { steps: x === "step" ? steps : null, onZoom };
}

/** Return the whole steps around a range. The API counts steps from zero. */
function around([min, max]: [number, number]): Steps {
  return { first: Math.max(0, Math.floor(min)), last: Math.max(0, Math.ceil(max)) };
}
