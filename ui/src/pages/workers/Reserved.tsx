import { useLingui } from "@lingui/react/macro";
import { Progress } from "@mantine/core";
import { formatNumber, formatSize } from "@/design/format";
import classes from "./Workers.module.css";

interface Props {
  label: string;
  total: number;
  free: number;
  /** The figures are MiB. */
  memory?: boolean;
}

const MIB = 1024 * 1024;

/** How much of something is reserved by running tasks. */
export function Reserved({ label, total, free, memory = false }: Props) {
  const { t, i18n } = useLingui();
  const show = (value: number) =>
    memory
      ? formatSize(value * MIB, i18n.locale)
      : formatNumber(value, i18n.locale, { maximumFractionDigits: 1 });
  const used = Math.max(0, total - free);
  return (
    <span className={classes.bar}>
      <Progress value={total > 0 ? (used / total) * 100 : 0} size="sm" aria-label={label} />
      <span>
        {t({ message: `${show(used)} of ${show(total)}`, context: "reserved of all there is" })}
      </span>
    </span>
  );
}
