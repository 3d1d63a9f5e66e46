/** The first rows of a file on the user's machine, to show what will be read. Pure but for reading. */

export interface Peek {
  /** csv and tsv have types to choose; others bring their own. */
  format: "csv" | "tsv" | "jsonl" | "json" | "text";
  columns: string[];
  rows: Record<string, unknown>[];
}

const BYTES = 256 * 1024;
const ROWS = 5;

/** Return the first rows of a file; null if only the platform can read it, as with Parquet. */
export async function peekFile(file: File, separator?: string): Promise<Peek | null> {
  const format = formatOf(file.name);
  if (!format) return null;
  const text = await file.slice(0, BYTES).text();
  if (text.includes("\uFFFD") || text.includes("\0")) return null;
  return peekText(text, format, file.size > BYTES, separator);
}

function formatOf(name: string): Peek["format"] | null {
  const ending = name.toLowerCase().split(".").at(-1) ?? "";
  const formats: Record<string, Peek["format"]> = {
    csv: "csv",
    tsv: "tsv",
    jsonl: "jsonl",
    ndjson: "jsonl",
    json: "json",
    txt: "text",
  };
  return formats[ending] ?? null;
}

/** Return the first rows of a text; `cut` says that more follows, so its last row may be torn. */
export function peekText(
  text: string,
  format: Peek["format"],
  cut: boolean,
  separator?: string,
): Peek | null {
  const plain = text.replace(/^\uFEFF/, "");
  if (format === "text") {
    const rows = lines(plain, cut).map((line) => ({ text: line }));
    return { format, columns: ["text"], rows: rows.slice(0, ROWS) };
  }
  if (format === "csv" || format === "tsv") {
    const records = readCsv(plain, separator ?? (format === "tsv" ? "\t" : guess(plain)), ROWS + 1);
    const [head, ...body] = records;
    if (!head) return null;
    const rows = body.map((cells) =>
      Object.fromEntries(head.map((name, index) => [name, cells[index] ?? ""])),
    );
    return { format, columns: head, rows };
  }
  const rows = format === "jsonl" ? readJsonLines(plain, cut) : readJsonArray(plain);
  if (!rows || rows.length === 0) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return { format, columns, rows };
}

function lines(text: string, cut: boolean): string[] {
  const all = text.split(/\r?\n/);
  if (cut) all.pop();
  return all.filter((line) => line.trim() !== "");
}

function readJsonLines(text: string, cut: boolean): Record<string, unknown>[] | null {
  const rows: Record<string, unknown>[] = [];
  for (const line of lines(text, cut).slice(0, ROWS)) {
    const row = parse(line);
    if (!row) return null;
    rows.push(row);
  }
  return rows;
}

/** Read the first objects of an array, which may be torn at its end. */
function readJsonArray(text: string): Record<string, unknown>[] | null {
  const rows: Record<string, unknown>[] = [];
  let depth = 0;
  let start = -1;
  let quoted = false;
  for (let index = text.indexOf("["); index >= 0 && index < text.length; index += 1) {
    const letter = text[index];
    if (quoted) {
      if (letter === "\\") index += 1;
      else if (letter === '"') quoted = false;
    } else if (letter === '"') quoted = true;
    else if (letter === "{" || letter === "[") {
      depth += 1;
      if (depth === 2 && letter === "{") start = index;
    } else if (letter === "}" || letter === "]") {
      depth -= 1;
      if (depth === 1 && start >= 0) {
        const row = parse(text.slice(start, index + 1));
        if (row) rows.push(row);
        start = -1;
        if (rows.length === ROWS) break;
      }
    }
  }
  return rows;
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** Return the separator that the first line has most of. */
function guess(text: string): string {
  const first = text.split("\n", 1)[0] ?? "";
  const count = (separator: string) => first.split(separator).length;
  return [",", ";", "\t", "|"].reduce((best, each) => (count(each) > count(best) ? each : best));
}

/** Return the first records of CSV, with quotes as RFC 4180 has them. */
export function readCsv(text: string, separator: string, most: number): string[][] {
  const records: string[][] = [];
  let cells: string[] = [];
  let cell = "";
  let quoted = false;
  const end = () => {
    cells.push(cell);
    cell = "";
  };
  for (let index = 0; index < text.length && records.length < most; index += 1) {
    const letter = text[index] as string;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[index + 1] === '"') {
        cell += '"';
        index += 1;
      } else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === separator) end();
    else if (letter === "\n") {
      end();
      if (cells.some((each) => each !== "")) records.push(cells);
      cells = [];
    } else if (letter !== "\r") cell += letter;
  }
  if (records.length < most && (cell || cells.length > 0)) {
    end();
    records.push(cells);
  }
  return records;
}
