import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Stack, Text } from "@mantine/core";
import { useCompareSample, useFirstRunTask } from "@/api/firstRun";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Metric } from "@/design/values";
import type { StepProps } from "./FirstRunPage";
import { Running } from "./Running";
import { type Compared, readComparison } from "./report";
import { Step } from "./Step";
import classes from "./Step.module.css";

interface Props extends StepProps {
  /** The tuned model. */
  model: string | undefined;
}

/** Compare the tuned model with its base on the rows that neither was trained on. */
export function CompareStep({ search, onSearch, number, state, model }: Props) {
  const { t } = useLingui();
  const compare = useCompareSample();
  const task = useFirstRunTask(search.evaluation);
  const failed = task.data?.completed_at && task.data.status !== "completed";
  const start = () =>
    compare.mutate(
      { project: search.project ?? "", model: model ?? "", heldOut: search.heldOut ?? "" },
      { onSuccess: (made) => onSearch({ ...search, evaluation: made.uuid }) },
    );
  const button = (
    <Button loading={compare.isPending} disabled={!model} onClick={start}>
      {t`Compare`}
    </Button>
  );
  return (
    <Step
      number={number}
      state={state}
      title={t`Comparison`}
      duration={t`about half a minute`}
      text={t`Both models answer the rows that were held out. A lower loss means that the tuned model finds the right answers more probable than its base does.`}
    >
      <Stack gap="sm" align="flex-start">
        {!search.evaluation && button}
        {task.data && (
          <Running
            task={task.data}
            label={t`Comparing both models`}
            again={failed ? button : undefined}
          />
        )}
        <ErrorNotice error={compare.error ?? task.error} />
        {task.data?.result && <Outcome compared={readComparison(task.data.result)} />}
      </Stack>
    </Step>
  );
}

function Outcome({ compared }: { compared: Compared }) {
  const { t } = useLingui();
  const { base, tuned, answers } = compared;
  return (
    <>
      {base && tuned && (
        <Text size="sm">
          <Trans>
            Loss on the held-out rows: <Metric value={base.loss} /> before,{" "}
            <Metric value={tuned.loss} /> after the training.
          </Trans>
        </Text>
      )}
      {answers.length > 0 && (
        <table className={classes.answers}>
          <thead>
            <tr>
              <th scope="col">{t`Question`}</th>
              <th scope="col">{t`Base model`}</th>
              <th scope="col">{t`Tuned model`}</th>
            </tr>
          </thead>
          <tbody>
            {answers.map((answer) => (
              <tr key={answer.question}>
                <td data-label={t`Question`}>{answer.question}</td>
                <td data-label={t`Base model`}>{answer.base}</td>
                <td data-label={t`Tuned model`}>{answer.tuned}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
