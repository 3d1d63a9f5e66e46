import { useEffect, useState } from "react";

/** A visit ends when no page has been in sight for this long. */
const PAUSE = 30 * 60_000;
const MARK_EVERY = 60_000;

/** Return when the visit before this one ended, in milliseconds; null on the first visit. */
export function useLastVisit(user: string): number | null {
  const seenKey = `aiplatform.seen.${user}`;
  const sinceKey = `aiplatform.since.${user}`;
  const [since, setSince] = useState<number | null>(() => beginVisit(seenKey, sinceKey));
  useEffect(() => {
    const mark = () => {
      if (document.hidden) return;
      setSince(beginVisit(seenKey, sinceKey));
      localStorage.setItem(seenKey, String(Date.now()));
    };
    mark();
    const timer = setInterval(mark, MARK_EVERY);
    document.addEventListener("visibilitychange", mark);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", mark);
    };
  }, [seenKey, sinceKey]);
  return since;
}

/** Return the end of the visit before, which the whole of this visit counts from. */
function beginVisit(seenKey: string, sinceKey: string): number | null {
  const since = visitBefore(
    readTime(localStorage.getItem(seenKey)),
    readTime(localStorage.getItem(sinceKey)),
    Date.now(),
  );
  if (since !== null) localStorage.setItem(sinceKey, String(since));
  return since;
}

/**
 * Return when the visit before this one ended.
 *
 * `seen` is when a page was last in sight, `since` what this function returned before.
 */
export function visitBefore(seen: number | null, since: number | null, now: number): number | null {
  if (seen === null) return null;
  return now - seen > PAUSE ? seen : since;
}

function readTime(text: string | null): number | null {
  const time = Number(text);
  return text !== null && Number.isFinite(time) ? time : null;
}
