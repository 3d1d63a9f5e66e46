import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { revealing, rowsInSight, scaleOf } from "./gridWindow";

export interface GridWindow {
  /** The position of the rows in pixels, which may be far more than the scroll bar has. */
  top: number;
  content: number;
  first: number;
  last: number;
  reveal: (index: number) => void;
}

const LINE = 20;

/** Scroll through any number of rows: the scroll bar covers all, the wheel moves row by row. */
export function useGridWindow(
  box: RefObject<HTMLElement | null>,
  count: number,
  row: number,
  head: number,
): GridWindow {
  const [height, setHeight] = useState(600);
  const [top, setTop] = useState(0);
  const visible = Math.max(row, height - head);
  const { content, ratio, most } = scaleOf(count, row, visible);
  const latest = useRef({ top, ratio, most, visible });
  latest.current = { top, ratio, most, visible };
  /** The place of the scroll bar that this hook has set itself. */
  const own = useRef(-1);

  const move = useCallback(
    (wanted: number) => {
      const { most: end, ratio: scale } = latest.current;
      const next = Math.min(Math.max(wanted, 0), end);
      latest.current.top = next;
      setTop(next);
      if (!box.current) return;
      own.current = Math.round(next / scale);
      box.current.scrollTop = own.current;
    },
    [box],
  );

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setHeight(element.clientHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onScroll = () => {
      if (Math.abs(element.scrollTop - own.current) < 1) return;
      own.current = -1;
      const next = Math.min(element.scrollTop * latest.current.ratio, latest.current.most);
      latest.current.top = next;
      setTop(next);
    };
    const onWheel = (event: WheelEvent) => {
      // Where one pixel of the scroll bar is many rows, the wheel would leap over most of them.
      if (latest.current.ratio === 1 || event.ctrlKey) return;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      event.preventDefault();
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1;
      move(latest.current.top + event.deltaY * unit);
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      element.removeEventListener("scroll", onScroll);
      element.removeEventListener("wheel", onWheel);
    };
  }, [box, move]);

  const reveal = useCallback(
    (index: number) => {
      const { top: now, visible: seen } = latest.current;
      const next = revealing(index, now, seen, row);
      if (next !== now) move(next);
    },
    [move, row],
  );
  return { top, content: content + head, ...rowsInSight(top, visible, row, count), reveal };
}
