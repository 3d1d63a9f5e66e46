/** Pure preparation of series for charts. */

export type Point = readonly [x: number, y: number];

/** A point of the API: step, value, time. */
export type RawPoint = readonly (number | string)[];

export interface Series {
  key: string;
  label: string;
  points: readonly Point[];
  /** 1 to 10, a place in the palette; the same thing has the same colour on all charts. */
  color?: number;
}

/** The API writes NaN and infinities as text; return the finite points in order. */
export function readPoints(points: readonly RawPoint[], x: (point: RawPoint) => number): Point[] {
  const result: Point[] = [];
  for (const point of points) {
    const y = Number(point[1]);
    const place = x(point);
    if (Number.isFinite(y) && Number.isFinite(place)) result.push([place, y]);
  }
  return result;
}

/** Return the points with those of a part, sorted by step, in the place of the part. */
export function withDetail<Item extends RawPoint>(
  points: readonly Item[],
  detail: readonly Item[] | undefined,
): readonly Item[] {
  const first = detail?.[0]?.[0];
  const last = detail?.at(-1)?.[0];
  if (!detail || first === undefined || last === undefined) return points;
  return [
    ...points.filter(([step]) => Number(step) < Number(first)),
    ...detail,
    ...points.filter(([step]) => Number(step) > Number(last)),
  ];
}

/**
 * Return the exponential moving average of the points.
 *
 * `weight` is between 0 (the points themselves) and 1. The average is corrected for its start, as
 * in Adam, so that it does not begin at zero. It follows the density of the points.
 */
export function smooth(points: readonly Point[], weight: number): Point[] {
  if (weight <= 0) return [...points];
  let average = 0;
  let debias = 0;
  return points.map(([x, y]) => {
    average = average * weight + (1 - weight) * y;
    debias = debias * weight + (1 - weight);
    return [x, average / debias] as const;
  });
}

/** Return the range of the values without the most extreme `share` at each end. */
export function robustRange(values: readonly number[], share: number): [number, number] | null {
  if (values.length < 20) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length * share);
  const least = sorted[cut];
  const most = sorted[sorted.length - 1 - cut];
  return least === undefined || most === undefined || least === most ? null : [least, most];
}

/** Return the points as CSV with one column for each series. */
export function toCsv(xName: string, series: readonly Series[]): string {
  const rows = new Map<number, (number | undefined)[]>();
  series.forEach(({ points }, index) => {
    for (const [x, y] of points) {
      const row = rows.get(x) ?? new Array<number | undefined>(series.length);
      row[index] = y;
      rows.set(x, row);
    }
  });
  const lines = [[xName, ...series.map(({ label }) => label)].map(quote).join(",")];
  for (const x of [...rows.keys()].sort((a, b) => a - b))
    lines.push([x, ...Array.from(rows.get(x) ?? [], (value) => value ?? "")].join(","));
  return `${lines.join("\n")}\n`;
}

/** Quote a cell; a formula is defused, since spreadsheets would run it. */
function quote(cell: string): string {
  const text = /^[=+\-@\t]/.test(cell) ? `'${cell}` : cell;
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return the value at `x`, or the last one before it. */
export function valueAt(points: readonly Point[], x: number): number | null {
  let low = 0;
  let high = points.length - 1;
  let found: number | null = null;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const point = points[middle];
    if (!point) break;
    if (point[0] <= x) {
      found = point[1];
      low = middle + 1;
    } else high = middle - 1;
  }
  return found;
}
