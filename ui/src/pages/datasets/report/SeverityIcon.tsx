import { IconAlertTriangle, IconCircleX, IconInfoCircle } from "@tabler/icons-react";
import type { Severity } from "@/api/reports";
import { useSeverityLabel } from "../labels";
import classes from "./Report.module.css";

const ICONS = { error: IconCircleX, warning: IconAlertTriangle, info: IconInfoCircle };

/** How serious a finding is, by shape and colour. */
export function SeverityIcon({ severity }: { severity: Severity }) {
  const label = useSeverityLabel();
  const Icon = ICONS[severity];
  return (
    <span className={classes.icon} data-severity={severity} title={label(severity)}>
      <Icon size={16} aria-hidden />
    </span>
  );
}
