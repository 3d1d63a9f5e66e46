import { useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import type { ReactNode } from "react";
import classes from "./Step.module.css";

export type StepState = "later" | "now" | "done";

interface Props {
  number: number;
  title: string;
  /** What happens, and why. */
  text: ReactNode;
  /** How long it takes on a small machine. */
  duration: string;
  state: StepState;
  children?: ReactNode;
}

/** One step of the first run: what to expect, how long it takes, and the button or the outcome. */
export function Step({ number, title, text, duration, state, children }: Props) {
  const { t } = useLingui();
  return (
    <li
      className={classes.step}
      data-state={state}
      aria-current={state === "now" ? "step" : undefined}
    >
      <span className={classes.mark} aria-hidden>
        {state === "done" ? <IconCheck size={16} /> : number}
      </span>
      <div>
        <div className={classes.head}>
          <Title order={2}>
            {title}
            {state === "done" && <span className="visually-hidden"> ({t`done`})</span>}
          </Title>
          <span className="secondary">{duration}</span>
        </div>
        <Text size="sm" c="dimmed" mt={2} maw="68ch">
          {text}
        </Text>
        {state !== "later" && children && <div className={classes.body}>{children}</div>}
      </div>
    </li>
  );
}
