import { Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./FormSection.module.css";

interface Props {
  title: string;
  /** One plain sentence: what these settings do. */
  description?: ReactNode;
  children: ReactNode;
}

/** A part of a form or settings page: its purpose on the left, its fields on the right. */
export function FormSection({ title, description, children }: Props) {
  return (
    <section className={classes.section}>
      <div>
        <Title order={2}>{title}</Title>
        {description && (
          <Text size="sm" c="dimmed" mt={4}>
            {description}
          </Text>
        )}
      </div>
      <div className={classes.fields}>{children}</div>
    </section>
  );
}
