export interface Entry {
  key: string;
  value: unknown;
}

/** Return nested figures and facts as a flat list, with the names of their parents before them. */
export function flatten(value: unknown, prefix = ""): Entry[] {
  if (Array.isArray(value)) {
    if (value.every((item) => typeof item !== "object" || item === null))
      return [{ key: prefix, value: value.join(", ") }];
    return value.flatMap((item, index) => flatten(item, `${prefix}[${index}]`));
  }
  if (typeof value !== "object" || value === null) return [{ key: prefix, value }];
  return Object.entries(value).flatMap(([name, item]) =>
    flatten(item, prefix ? `${prefix}.${name}` : name),
  );
}

export interface Difference {
  key: string;
  a: unknown;
  b: unknown;
  differs: boolean;
}

/** Return the entries of two flat lists side by side, those that differ first. */
export function compare(a: readonly Entry[], b: readonly Entry[]): Difference[] {
  const left = new Map(a.map(({ key, value }) => [key, value]));
  const right = new Map(b.map(({ key, value }) => [key, value]));
  const keys = [...new Set([...left.keys(), ...right.keys()])];
  const rows = keys.map((key) => ({
    key,
    a: left.get(key),
    b: right.get(key),
    differs: left.get(key) !== right.get(key),
  }));
  return [...rows.filter((row) => row.differs), ...rows.filter((row) => !row.differs)];
}

/** Return a value as text; large and small numbers are left to the caller. */
export function show(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
