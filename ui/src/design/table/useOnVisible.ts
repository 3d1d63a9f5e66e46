import { type RefCallback, useCallback, useRef } from "react";

/** Return a ref; `action` runs whenever its element comes into sight. */
export function useOnVisible(action: () => void): RefCallback<HTMLElement> {
  const latest = useRef(action);
  latest.current = action;
  const observer = useRef<IntersectionObserver | null>(null);
  return useCallback((element: HTMLElement | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) latest.current();
      },
      { rootMargin: "400px" },
    );
    observer.current.observe(element);
  }, []);
}
