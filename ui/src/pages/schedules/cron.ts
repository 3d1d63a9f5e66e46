/** Simple repetitions as cron expressions, and back. Pure functions. */

export type Frequency = "hourly" | "daily" | "weekdays" | "weekly" | "own";

export interface Repetition {
  frequency: Frequency;
  /** "HH:MM"; of an hourly one only the minutes count. */
  time: string;
  /** 0 is Sunday. */
  weekday: number;
}

/** Return the cron expression of a repetition; null if its time can't be read. */
export function toCron({ frequency, time, weekday }: Repetition): string | null {
  const match = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(time);
  if (!match) return null;
  const [hour, minute] = [Number(match[1]), Number(match[2])];
  switch (frequency) {
    case "hourly":
      return `${minute} * * * *`;
    case "daily":
      return `${minute} ${hour} * * *`;
    case "weekdays":
      return `${minute} ${hour} * * 1-5`;
    case "weekly":
      return `${minute} ${hour} * * ${weekday}`;
    default:
      return null;
  }
}

/** Return the simple repetition that an expression means; "own" if it is none. */
export function fromCron(cron: string): Repetition {
  const [minute = "", hour = "", day, month, weekday = ""] = cron.trim().split(/\s+/);
  const own: Repetition = { frequency: "own", time: "02:00", weekday: 1 };
  if (!/^\d{1,2}$/.test(minute) || day !== "*" || month !== "*") return own;
  if (hour === "*" && weekday === "*")
    return { frequency: "hourly", time: `00:${minute.padStart(2, "0")}`, weekday: 1 };
  if (!/^\d{1,2}$/.test(hour)) return own;
  const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (weekday === "*") return { frequency: "daily", time, weekday: 1 };
  if (weekday === "1-5") return { frequency: "weekdays", time, weekday: 1 };
  if (/^[0-6]$/.test(weekday)) return { frequency: "weekly", time, weekday: Number(weekday) };
  return own;
}
