import { useEffect, useRef, useState } from "react";
import type { ChartSettings, XKind } from "./options";
import { type ChartSearch, searchOf, settingsOf } from "./search";

/** Browsers refuse more than about six changes of the address in a second. */
const PAUSE = 250;

interface ChartState {
  settings: ChartSettings;
  setSettings: (settings: ChartSettings) => void;
  x: XKind;
  setX: (x: XKind) => void;
  hidden: ReadonlySet<string>;
  toggle: (key: string) => void;
}

/**
 * Return the settings of the page's charts, which begin as the address says.
 *
 * Charts follow immediately, also while a slider moves; the address after a short pause.
 */
export function useChartSearch(
  search: ChartSearch,
  onSearch: (search: ChartSearch) => void,
): ChartState {
  const [settings, setSettings] = useState(() => settingsOf(search));
  const [x, setX] = useState<XKind>(search.x ?? "step");
  const [hidden, setHidden] = useState<ReadonlySet<string>>(() => new Set(search.hidden));
  const write = useRef(onSearch);
  write.current = onSearch;
  const changed = useRef(false);
  useEffect(() => {
    if (!changed.current) return;
    const timer = setTimeout(() => write.current(searchOf(settings, x, hidden)), PAUSE);
    return () => clearTimeout(timer);
  }, [settings, x, hidden]);
  const change =
    <Value>(set: (value: Value) => void) =>
    (value: Value) => {
      changed.current = true;
      set(value);
    };
  const toggle = (key: string) => {
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    change(setHidden)(next);
  };
  return {
    settings,
    setSettings: change(setSettings),
    x,
    setX: change(setX),
    hidden,
    toggle,
  };
}
