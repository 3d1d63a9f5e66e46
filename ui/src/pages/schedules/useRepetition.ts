import { useLingui } from "@lingui/react/macro";
import { fromCron } from "./cron";

const SUNDAY = Date.UTC(2026, 0, 4);

/** Return the names of the weekdays, Sunday first. */
export function weekdayNames(locale: string): string[] {
  const format = new Intl.DateTimeFormat(locale, { weekday: "long", timeZone: "UTC" });
  return Array.from({ length: 7 }, (_, day) => format.format(SUNDAY + day * 86_400_000));
}

/** Return a function that says in words when an expression fires; else the expression itself. */
export function useRepetitionText(): (cron: string) => string {
  const { t, i18n } = useLingui();
  return (cron) => {
    const { frequency, time, weekday } = fromCron(cron);
    const minute = Number(time.slice(3));
    const day = weekdayNames(i18n.locale)[weekday] ?? "";
    switch (frequency) {
      case "hourly":
        return t`every hour at minute ${minute}`;
      case "daily":
        return t`every day at ${time}`;
      case "weekdays":
        return t`Monday to Friday at ${time}`;
      case "weekly":
        return t`every ${day} at ${time}`;
      default:
        return cron;
    }
  };
}
