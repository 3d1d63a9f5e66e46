/** Completion for the filter language. Pure functions. */

export interface Completion {
  /** Where the word begins that a suggestion replaces. */
  from: number;
  options: string[];
}

const OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "contains", "not contains", "in", "not in"];
const UNARY = ["present", "missing"];
const JOINS = ["and", "or"];
const MOST = 12;
const TOKEN = /"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|`[^`]*`?|[\w.-]+|<=|>=|!=|==|[<>=(),]|\S/g;

/** Return a field as the language writes it: in backticks where it has other characters. */
export function quoteField(name: string): string {
  return name
    .split(".")
    .map((part) => (/^[\w-]+$/.test(part) ? part : `\`${part}\``))
    .join(".");
}

/** Return what may follow at the caret: fields, operators, or `and` and `or`. */
export function complete(
  text: string,
  caret: number,
  fields: readonly string[],
  more: readonly string[] = [],
): Completion {
  const head = text.slice(0, caret);
  const word = /[\w.`-]*$/.exec(head)?.[0] ?? "";
  const from = caret - word.length;
  const place = placeAfter(head.slice(0, from).match(TOKEN) ?? []);
  const known = fields.map(quoteField);
  const all: Record<Place, readonly string[]> = {
    field: [...known, "not"],
    operator: [...OPERATORS, ...UNARY, ...more],
    value: [],
    join: JOINS,
  };
  const typed = word.replace(/`/g, "").toLowerCase();
  const options = all[place]
    .filter((option) => {
      const plain = option.replace(/`/g, "").toLowerCase();
      return plain !== typed && plain.includes(typed);
    })
    .sort((a, b) => Number(starts(b, typed)) - Number(starts(a, typed)))
    .slice(0, MOST);
  return { from, options };
}

function starts(option: string, typed: string): boolean {
  return option.replace(/`/g, "").toLowerCase().startsWith(typed);
}

type Place = "field" | "operator" | "value" | "join";

/** Return what is expected after these tokens. */
function placeAfter(tokens: readonly string[]): Place {
  let place: Place = "field";
  let list = false;
  for (const token of tokens) {
    const lower = token.toLowerCase();
    if (list) {
      if (token === ")") {
        list = false;
        place = "join";
      }
    } else if (place === "value" && token === "(") list = true;
    else if (token === "(" || lower === "and" || lower === "or") place = "field";
    else if (token === ")") place = "join";
    else if (place === "field") place = lower === "not" ? "field" : "operator";
    else if (place === "operator") {
      if (UNARY.includes(lower)) place = "join";
      else if (lower !== "not") place = "value";
    } else if (place === "value") place = "join";
  }
  return place;
}
