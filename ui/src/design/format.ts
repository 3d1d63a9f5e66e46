/** Figures as text, in the conventions of a language. Pure functions. */

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Return a time as a distance from `now`: "3 minutes ago", "3 分钟前". */
export function formatAgo(time: Date, now: number, locale: string): string {
  const seconds = (time.getTime() - now) / 1000;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  for (const [unit, size] of UNITS)
    if (Math.abs(seconds) >= size)
      return spaced(format.format(Math.trunc(seconds / size), unit), locale);
  // Seconds that change under the eye are unrest; "now" is as good.
  return format.format(0, "second");
}

/** Return the exact local time. */
export function formatExact(time: Date, locale: string): string {
  const options: Intl.DateTimeFormatOptions = { dateStyle: "medium", timeStyle: "medium" };
  return new Intl.DateTimeFormat(locale, options).format(time);
}

/** Return a duration with its two largest units: "2 h 5 min", "2 小时 5 分钟". */
export function formatDuration(seconds: number, locale: string): string {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, seconds);
  if (whole < 10) return unit(Math.round(whole * 10) / 10, "second", locale);
  if (whole < 60) return unit(Math.round(whole), "second", locale);
  const parts: readonly [Intl.NumberFormatOptions["unit"] & string, number][] = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
    ["second", 1],
  ];
  const index = parts.findIndex(([, size]) => whole >= size);
  const first = parts[index];
  const second = parts[index + 1];
  if (!first || !second) return unit(Math.round(whole), "second", locale);
  const total = Math.round(whole / second[1]);
  const perFirst = first[1] / second[1];
  const major = Math.floor(total / perFirst);
  const minor = total % perFirst;
  const head = unit(major, first[0], locale);
  return minor === 0 ? head : `${head} ${unit(minor, second[0], locale)}`;
}

function unit(value: number, name: string, locale: string): string {
  const options: Intl.NumberFormatOptions = { style: "unit", unit: name, unitDisplay: "short" };
  return spaced(new Intl.NumberFormat(locale, options).format(value), locale);
}

/** Put the space between figures and Chinese characters that `Intl` leaves out. */
function spaced(text: string, locale: string): string {
  if (!locale.startsWith("zh")) return text;
  return text.replace(/(\d)([\u3400-\u9fff])/g, "$1 $2");
}

const BYTES = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Return a size in decimal units: "1.2 GB". */
export function formatSize(bytes: number, locale: string): string {
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 999.5 && index < BYTES.length - 1) {
    value /= 1000;
    index += 1;
  }
  const digits = index === 0 || Math.abs(value) >= 99.95 ? 0 : 1;
  return `${formatNumber(value, locale, { maximumFractionDigits: digits })} ${BYTES[index]}`;
}

/** Return a number with the separators of the language. */
export function formatNumber(
  value: number,
  locale: string,
  options?: Intl.NumberFormatOptions,
): string {
  return new Intl.NumberFormat(locale, options).format(value);
}

/** Return a measured value with four significant digits; very small and large ones as powers. */
export function formatMetric(value: number | string | null | undefined, locale: string): string {
  if (value === null || value === undefined) return "–";
  const number = typeof value === "string" ? Number(value) : value;
  if (!Number.isFinite(number)) return String(value);
  const size = Math.abs(number);
  if (size !== 0 && (size < 0.001 || size >= 1e7))
    return number.toExponential(2).replace("e+", "e");
  if (Number.isInteger(number)) return formatNumber(number, locale);
  return formatNumber(number, locale, { maximumSignificantDigits: 4 });
}

/** Return a share as a percentage: 0.421 → "42 %". */
export function formatPercent(share: number, locale: string): string {
  return formatNumber(share, locale, {
    style: "percent",
    maximumFractionDigits: share < 0.1 ? 1 : 0,
  });
}
