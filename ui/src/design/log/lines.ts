import type { LogChunk, LogLevel } from "@/api/types";

export type Level = LogLevel;
export const LEVELS: readonly Level[] = ["debug", "info", "warning", "error", "critical"];

export interface LogLine {
  /** The chunk's number and the line's place in it: a lasting name of the line, for its link. */
  id: string;
  time: number;
  stream: string;
  level: Level | null;
  text: string;
}

/** Split chunks into lines. */
export function splitChunk(chunk: LogChunk): LogLine[] {
  const time = Date.parse(chunk.time) / 1000;
  const text = chunk.text.endsWith("\n") ? chunk.text.slice(0, -1) : chunk.text;
  return text.split("\n").map((line, index) => ({
    id: `${chunk.seq}-${index}`,
    time,
    stream: chunk.stream,
    level: chunk.level,
    text: line,
  }));
}

/** Return the time since the start as a clock: "3:07", "1:02:45". */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  const rest = two(whole % 60);
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${rest}`;
}

/** Return the lines of a level or a more severe one. Lines without a level belong to "all". */
export function visibleLines(lines: readonly LogLine[], level: Level | "all"): readonly LogLine[] {
  if (level === "all") return lines;
  const least = LEVELS.indexOf(level);
  return lines.filter((line) => line.level !== null && LEVELS.indexOf(line.level) >= least);
}

/** Return the places of the lines that contain the text, in any case. */
export function findHits(lines: readonly LogLine[], query: string): number[] {
  const wanted = query.toLowerCase();
  if (!wanted) return [];
  const hits: number[] = [];
  lines.forEach((line, index) => {
    if (line.text.toLowerCase().includes(wanted)) hits.push(index);
  });
  return hits;
}

/** Return a line as a terminal would leave it: without colours, after its last carriage return. */
export function cleanText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  const plain = text.replaceAll(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "");
  const parts = plain.split("\r").filter((part) => part !== "");
  return parts.at(-1) ?? "";
}
