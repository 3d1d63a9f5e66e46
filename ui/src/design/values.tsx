import { useLingui } from "@lingui/react/macro";
import { CopyButton, Tooltip, UnstyledButton } from "@mantine/core";
import { useSyncExternalStore } from "react";
import {
  formatAgo,
  formatDuration,
  formatExact,
  formatMetric,
  formatNumber,
  formatSize,
} from "./format";

/** Small components for values that appear on every page. Each has one look everywhere. */

const TICK = 15_000;
let now = Date.now();
const tickers = new Set<() => void>();
setInterval(() => {
  if (document.hidden) return;
  now = Date.now();
  for (const ticker of tickers) ticker();
}, TICK);

function subscribe(ticker: () => void): () => void {
  tickers.add(ticker);
  return () => tickers.delete(ticker);
}

function readNow(): number {
  return now;
}

/** Return the time, renewed every 15 seconds; all components share one timer. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, readNow);
}

/** Show a time as a distance from now, with the exact time on hover. */
export function TimeAgo({ time }: { time: string | null | undefined }) {
  const { i18n } = useLingui();
  const current = useNow();
  if (!time) return <span className="secondary">–</span>;
  const date = new Date(time);
  return (
    <Tooltip label={formatExact(date, i18n.locale)}>
      <time dateTime={time}>{formatAgo(date, Math.max(current, date.getTime()), i18n.locale)}</time>
    </Tooltip>
  );
}

/** Show a time in the future as a distance from now. */
export function TimeUntil({ time }: { time: string }) {
  const { i18n } = useLingui();
  const current = useNow();
  const date = new Date(time);
  return (
    <Tooltip label={formatExact(date, i18n.locale)}>
      <time dateTime={time}>{formatAgo(date, current, i18n.locale)}</time>
    </Tooltip>
  );
}

export function Duration({ seconds }: { seconds: number | null | undefined }) {
  const { i18n } = useLingui();
  if (seconds === null || seconds === undefined) return <span className="secondary">–</span>;
  return <span>{formatDuration(seconds, i18n.locale)}</span>;
}

/** Show how long something has taken: until its end, else until now. */
export function Elapsed({ since, until }: { since: string | null; until: string | null }) {
  const current = useNow();
  if (!since) return <Duration seconds={null} />;
  const end = until ? Date.parse(until) : Math.max(current, Date.parse(since));
  return <Duration seconds={(end - Date.parse(since)) / 1000} />;
}

export function Size({ bytes }: { bytes: number | null | undefined }) {
  const { i18n } = useLingui();
  if (bytes === null || bytes === undefined) return <span className="secondary">–</span>;
  return <span>{formatSize(bytes, i18n.locale)}</span>;
}

export function Num({ value }: { value: number | null | undefined }) {
  const { i18n } = useLingui();
  if (value === null || value === undefined) return <span className="secondary">–</span>;
  return <span>{formatNumber(value, i18n.locale)}</span>;
}

export function Metric({ value }: { value: number | string | null | undefined }) {
  const { i18n } = useLingui();
  return <span className="mono">{formatMetric(value, i18n.locale)}</span>;
}

/** Show the first characters of an identifier; a click copies the whole. */
export function Id({ value, length = 8 }: { value: string; length?: number }) {
  const { t } = useLingui();
  const shown = value.slice(0, length);
  return (
    <CopyButton value={value} timeout={1500}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? t`Copied` : t`Copy ${value}`}>
          <UnstyledButton className="mono" onClick={copy} aria-label={t`Copy ${shown}`}>
            {shown}
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}
