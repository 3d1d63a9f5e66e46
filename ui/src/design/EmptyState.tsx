import { Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./EmptyState.module.css";

interface Props {
  icon: ReactNode;
  /** What is missing here. */
  title: string;
  /** What it is, and why one would want it. */
  children: ReactNode;
  /** The first action. */
  action?: ReactNode;
}

/** Teach what a list is for while it has nothing in it. */
export function EmptyState({ icon, title, children, action }: Props) {
  return (
    <Stack className={classes.empty} align="flex-start" gap="sm">
      <span className={classes.icon} aria-hidden>
        {icon}
      </span>
      <Title order={2}>{title}</Title>
      <Text className={classes.text}>{children}</Text>
      {action}
    </Stack>
  );
}
