/** Options of reading a file, as a form has them and as they are sent. Pure functions. */
import type { ReadingOptions } from "@/api/uploads";

export interface Options {
  message: string;
  mode: NonNullable<ReadingOptions["mode"]>;
  key: string;
  delimiter: string;
  header: boolean;
  encoding: NonNullable<ReadingOptions["encoding"]> | "";
  quarantine: boolean;
  map: NonNullable<ReadingOptions["map"]>;
  types: NonNullable<ReadingOptions["types"]>;
}

export const NO_OPTIONS: Options = {
  message: "",
  mode: "replace",
  key: "",
  delimiter: "",
  header: true,
  encoding: "",
  quarantine: false,
  map: {},
  types: {},
};

export const ENCODINGS: readonly NonNullable<ReadingOptions["encoding"]>[] = [
  "utf-8",
  "utf-16",
  "gb18030",
  "gbk",
  "big5",
  "shift-jis",
  "euc-kr",
  "latin-1",
  "windows-1252",
];

/** Return only what differs from what is recognised anyway; of columns, only those that are there. */
export function optionsToSend(options: Options, columns: ReadonlySet<string>): ReadingOptions {
  const there = <Value>(values: Readonly<Record<string, Value>>) =>
    Object.fromEntries(Object.entries(values).filter(([name]) => columns.has(name)));
  const map = there(options.map);
  const types = there(options.types);
  return {
    ...(options.message.trim() ? { message: options.message.trim() } : {}),
    ...(options.mode === "replace" ? {} : { mode: options.mode }),
    ...(options.key.trim() && options.mode !== "replace" ? { key: options.key.trim() } : {}),
    ...(options.delimiter ? { delimiter: options.delimiter } : {}),
    ...(options.header ? {} : { header: false }),
    ...(options.encoding ? { encoding: options.encoding } : {}),
    ...(options.quarantine ? { bad_rows: "quarantine" as const } : {}),
    ...(Object.keys(map).length > 0 ? { map } : {}),
    ...(Object.keys(types).length > 0 ? { types } : {}),
  };
}
