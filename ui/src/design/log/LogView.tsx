import { useLingui } from "@lingui/react/macro";
import { ActionIcon, Button, Checkbox, Group, Select, TextInput, Tooltip } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import {
  IconArrowDown,
  IconChevronDown,
  IconChevronUp,
  IconDownload,
  IconLink,
  IconSearch,
} from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import classes from "./LogView.module.css";
import {
  cleanText,
  findHits,
  formatClock,
  LEVELS,
  type Level,
  type LogLine,
  visibleLines,
} from "./lines";

interface Props {
  lines: readonly LogLine[];
  /** Seconds since the epoch from which times are counted. */
  start: number | null;
  /** More lines are still coming. */
  live: boolean;
  download?: string;
  /** The id of the line that the address leads to: it is marked, and shown first. */
  line?: string;
  /** Put a line into the address. Without it, lines have no links. */
  onLine?: (line: string) => void;
  /** What stands above the first line: a button that loads earlier ones. */
  earlier?: ReactNode;
  height?: number | string;
}

const LINE = 20;

/** A log from its end: it follows until one scrolls up, and is searched as one types. */
export function LogView(props: Props) {
  const { lines, start, live, download, earlier, line: linked, onLine, height = 480 } = props;
  const { t } = useLingui();
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(linked === undefined);
  const [seen, setSeen] = useState(0);
  const [wrap, setWrap] = useState(false);
  const [level, setLevel] = useState<Level | "all">("all");
  const [query, setQuery] = useState("");
  const [hit, setHit] = useState(0);

  const shown = useMemo(() => visibleLines(lines, level), [lines, level]);
  const hits = useMemo(() => findHits(shown, query), [shown, query]);
  const virtualizer = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE,
    overscan: 30,
  });

  useEffect(() => {
    if (!follow) return;
    setSeen(shown.length);
    if (shown.length > 0) virtualizer.scrollToIndex(shown.length - 1, { align: "end" });
  }, [follow, shown.length, virtualizer]);

  // Once for each link: later the reader scrolls.
  const reached = useRef<string | null>(null);
  useEffect(() => {
    if (linked === undefined || reached.current === linked) return;
    const place = shown.findIndex((line) => line.id === linked);
    if (place < 0) return;
    reached.current = linked;
    setFollow(false);
    virtualizer.scrollToIndex(place, { align: "center" });
  }, [linked, shown, virtualizer]);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < LINE * 2;
    if (atEnd !== follow) setFollow(atEnd);
  };
  const jump = (index: number) => {
    const place = hits[index];
    if (place === undefined) return;
    setFollow(false);
    setHit(index);
    virtualizer.scrollToIndex(place, { align: "center" });
  };
  const step = (by: number) => hits.length > 0 && jump((hit + by + hits.length) % hits.length);
  const fresh = shown.length - seen;
  const { copy, copied } = useClipboard({ timeout: 1500 });
  const link = (id: string) => {
    reached.current = id;
    onLine?.(id);
    copy(addressOf(id));
  };
  const found = hits[hit];
  const chosen = (found === undefined ? undefined : shown[found]?.id) ?? linked;

  return (
    <section className={classes.log} aria-label={t`Log`}>
      <Group gap="sm" className={classes.bar}>
        <TextInput
          size="xs"
          leftSection={<IconSearch size={14} />}
          placeholder={t`Search the log`}
          aria-label={t`Search the log`}
          value={query}
          onChange={(event) => {
            setQuery(event.currentTarget.value);
            setHit(0);
          }}
          onKeyDown={(event) => event.key === "Enter" && step(event.shiftKey ? -1 : 1)}
        />
        {query && (
          <Group gap={4} aria-live="polite">
            <span className="secondary">
              {hits.length === 0 ? t`no hits` : t`${hit + 1} of ${hits.length}`}
            </span>
            <ActionIcon aria-label={t`Previous hit`} onClick={() => step(-1)} size="sm">
              <IconChevronUp size={14} />
            </ActionIcon>
            <ActionIcon aria-label={t`Next hit`} onClick={() => step(1)} size="sm">
              <IconChevronDown size={14} />
            </ActionIcon>
          </Group>
        )}
        <Select
          size="xs"
          w={150}
          aria-label={t`Level`}
          value={level}
          onChange={(value) => setLevel((value ?? "all") as Level | "all")}
          data={[
            { value: "all", label: t`All lines` },
            { value: "info", label: t`Info and above` },
            { value: "warning", label: t`Warnings` },
            { value: "error", label: t`Errors` },
          ]}
        />
        <Checkbox
          size="xs"
          label={t`Wrap`}
          checked={wrap}
          onChange={(event) => setWrap(event.currentTarget.checked)}
        />
        {onLine && chosen && (
          <Tooltip label={copied ? t`Copied` : t`Copy a link to the line`}>
            <ActionIcon onClick={() => link(chosen)} aria-label={t`Copy a link to the line`}>
              <IconLink size={16} />
            </ActionIcon>
          </Tooltip>
        )}
        {download && (
          <Tooltip label={t`Download the whole log`}>
            <ActionIcon
              component="a"
              href={download}
              download
              aria-label={t`Download the whole log`}
            >
              <IconDownload size={16} />
            </ActionIcon>
          </Tooltip>
        )}
      </Group>
      {earlier}
      <div
        ref={box}
        className={classes.box}
        style={{ height }}
        onScroll={onScroll}
        tabIndex={0}
        role="log"
        aria-label={t`Lines`}
      >
        <div style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
          {virtualizer.getVirtualItems().map((item) => {
            const line = shown[item.index];
            if (!line) return null;
            return (
              <div
                key={item.key}
                data-index={item.index}
                ref={wrap ? virtualizer.measureElement : undefined}
                className={classes.line}
                data-level={line.level ?? undefined}
                data-stream={line.stream}
                data-wrap={wrap || undefined}
                data-hit={hits[hit] === item.index || line.id === linked || undefined}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <LineTime
                  time={start === null ? "·" : formatClock(line.time - start)}
                  onClick={onLine && (() => link(line.id))}
                />
                <span className={classes.text}>{marked(cleanText(line.text), query)}</span>
              </div>
            );
          })}
        </div>
        {shown.length === 0 && (
          <p className={classes.nothing}>
            {live ? t`Nothing has been printed yet.` : t`Nothing was printed.`}
          </p>
        )}
      </div>
      <div className={classes.marks} aria-hidden>
        {hits.slice(0, 500).map((place) => (
          <i key={place} style={{ top: `${(place / Math.max(shown.length, 1)) * 100}%` }} />
        ))}
      </div>
      {!follow && (
        <Button
          className={classes.pill}
          radius="xl"
          leftSection={<IconArrowDown size={14} />}
          onClick={() => setFollow(true)}
        >
          {fresh > 0 ? t`${fresh} new lines` : t`To the end`}
        </Button>
      )}
    </section>
  );
}

/** The time of a line. A click copies a link to the line; by keyboard, the bar has a button. */
function LineTime({ time, onClick }: { time: string; onClick: (() => void) | undefined }) {
  const { t } = useLingui();
  if (!onClick) return <span className={classes.time}>{time}</span>;
  return (
    <button
      type="button"
      className={classes.time}
      tabIndex={-1}
      title={t`Copy a link to the line`}
      onClick={onClick}
    >
      {time}
    </button>
  );
}

/** Return the address of the page with a line in it. */
function addressOf(line: string): string {
  const address = new URL(window.location.href);
  address.searchParams.set("tab", "log");
  address.searchParams.set("line", line);
  return address.href;
}

/** Return the text with the places marked that match the search. */
function marked(text: string, query: string): ReactNode {
  if (!query) return text;
  const parts: ReactNode[] = [];
  const lower = text.toLowerCase();
  const wanted = query.toLowerCase();
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}

export { LEVELS };
