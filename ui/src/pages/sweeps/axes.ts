/** The axes of parallel coordinates. Pure functions. */

export interface Axis {
  name: string;
  /** Words from below to above; null for numbers. */
  words: readonly string[] | null;
  low: number;
  high: number;
  log: boolean;
}

interface TrialLike {
  params: Record<string, unknown>;
  value: number | null;
}

/** Return an axis for each parameter, and one for the objective at the end. */
export function makeAxes(
  trials: readonly TrialLike[],
  parameters: Record<string, { kind: string; log: boolean }>,
  objective: string,
): Axis[] {
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.params)))];
  const axes = names.map((name) =>
    makeAxis(
      name,
      trials.map((trial) => trial.params[name]),
      parameters[name]?.log ?? false,
    ),
  );
  return [
    ...axes,
    makeAxis(
      objective,
      trials.map((trial) => trial.value),
      false,
    ),
  ];
}

function makeAxis(name: string, values: readonly unknown[], log: boolean): Axis {
  const known = values.filter((value) => value !== null && value !== undefined);
  const numbers = known.filter((value): value is number => typeof value === "number");
  if (numbers.length < known.length) {
    const words = [...new Set(known.map(String))].sort();
    return { name, words, low: 0, high: Math.max(1, words.length - 1), log: false };
  }
  const low = numbers.length > 0 ? Math.min(...numbers) : 0;
  const high = numbers.length > 0 ? Math.max(...numbers) : 1;
  return { name, words: null, low, high, log: log && low > 0 };
}

/** Return the height of a value on its axis, from 0 below to 1 above; null if it has none. */
export function coordinate(axis: Axis, value: unknown): number | null {
  if (value === null || value === undefined) return null;
  if (axis.words) {
    const place = axis.words.indexOf(String(value));
    return place < 0 ? null : place / axis.high;
  }
  const number = Number(value);
  if (!Number.isFinite(number)) return null;
  if (axis.high === axis.low) return 0.5;
  if (axis.log)
    return (Math.log(number) - Math.log(axis.low)) / (Math.log(axis.high) - Math.log(axis.low));
  return (number - axis.low) / (axis.high - axis.low);
}
