/** Names of datasets. Pure functions. */

const ENDINGS = /(\.(jsonl|ndjson|json|csv|tsv|txt|parquet|pq|arrow|feather|ipc|gz|zst|zstd))+$/i;

/** Return the name that a file suggests for a dataset. */
export function nameOfFile(filename: string): string {
  return [...filename.replace(ENDINGS, "")]
    .map((letter) => (isName(letter) ? letter : "-"))
    .join("")
    .slice(0, 255);
}

/** Return true for a name that the API takes. */
export function isName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names must not have these
  return /^[^\x00-\x1f\x7f/@]{1,255}$/.test(name);
}
