import { useLingui } from "@lingui/react/macro";
import { Text, Title } from "@mantine/core";
import { ButtonLink } from "@/design/links";
import { keptFirstRun } from "@/pages/first-run/search";
import classes from "./HomePage.module.css";

/** Lead a newcomer to the first run, or back to the one that was begun. */
export function FirstRunCard({ user }: { user: string }) {
  const { t } = useLingui();
  const kept = keptFirstRun(user);
  const steps = [t`Sample data`, t`Quality report`, t`Fixes`, t`Training`, t`Comparison`, t`Chat`];
  return (
    <section className={classes.first}>
      <Title order={2}>{kept ? t`Go on with your first run` : t`Go the whole way once`}</Title>
      <Text size="sm" mt={4} mb="sm" maw="68ch">
        {t`In about 6 minutes you repair a dataset, fine-tune a small language model on it, compare it with what it was before, and chat with it. Every step is real, and all that it makes is yours to look at.`}
      </Text>
      <ol className={classes.way}>
        {steps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ol>
      <ButtonLink to="/first-run" search={kept ?? {}} mt="md">
        {kept ? t`Go on` : t`Begin`}
      </ButtonLink>
    </section>
  );
}
