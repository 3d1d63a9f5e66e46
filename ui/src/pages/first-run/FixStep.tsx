import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text } from "@mantine/core";
import { useFirstRunTask, useFixSample } from "@/api/firstRun";
import { ErrorNotice } from "@/design/ErrorNotice";
import type { StepProps } from "./FirstRunPage";
import { Running } from "./Running";
import { gentleFixes, type Report } from "./report";
import { Step } from "./Step";

interface Props extends StepProps {
  /** The report of the sample as it was uploaded. */
  report: Report | undefined;
  /** The report of the version that the fixes made. */
  fixed: Report | undefined;
}

/** Fix what the report found, by its gentlest fixes; the result is a second version. */
export function FixStep({ search, onSearch, number, state, report, fixed }: Props) {
  const { t } = useLingui();
  const fix = useFixSample();
  const task = useFirstRunTask(search.fix === "none" ? undefined : search.fix);
  const fixes = gentleFixes(report?.findings ?? []);
  const count = Object.keys(fixes).length;
  const start = () =>
    fix.mutate(
      {
        params: { path: { dataset: search.dataset ?? "" } },
        body: { fixes, message: t`Fixed in the first run` },
      },
      { onSuccess: (made) => onSearch({ ...search, fix: made.uuid }) },
    );
  const failed = task.data?.completed_at && task.data.status !== "completed";
  const button = (
    <Button loading={fix.isPending} onClick={start}>
      <Plural value={count} one="Fix # finding" other="Fix # findings" />
    </Button>
  );
  return (
    <Step
      number={number}
      state={state}
      title={t`Fixes`}
      duration={t`about 15 seconds`}
      text={t`Copies go, personal data is masked, damaged characters are repaired, rows without an answer are dropped. The uploaded version stays as it is; the fixed one is version v2.`}
    >
      <Stack gap="sm" align="flex-start">
        {!search.fix && count > 0 && button}
        {!search.fix && report && count === 0 && (
          <Group gap="sm">
            <Text size="sm">{t`There is nothing to fix.`}</Text>
            <Button onClick={() => onSearch({ ...search, fix: "none" })}>{t`Go on`}</Button>
          </Group>
        )}
        {task.data && (
          <Running
            task={task.data}
            label={t`Fixing the rows`}
            again={failed ? button : undefined}
          />
        )}
        <ErrorNotice error={fix.error ?? task.error} />
        {fixed && report && (
          <Text size="sm">
            <Trans>
              {report.rows} rows became {fixed.rows}; the score went from {report.score} to{" "}
              {fixed.score}.
            </Trans>
          </Text>
        )}
      </Stack>
    </Step>
  );
}
