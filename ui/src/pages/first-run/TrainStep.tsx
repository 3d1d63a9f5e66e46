import { Trans, useLingui } from "@lingui/react/macro";
import { Button, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useFirstRunModel, useFirstRunTask, useTrainSample } from "@/api/firstRun";
import { taskMetricsOptions } from "@/api/tasks";
import type { TaskDetail } from "@/api/types";
import { Chart } from "@/design/chart/Chart";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink } from "@/design/links";
import { panels } from "@/pages/tasks/metrics";
import { useLiveTask } from "@/pages/tasks/useLiveTask";
import type { StepProps } from "./FirstRunPage";
import { Running } from "./Running";
import { Step } from "./Step";

interface Props extends StepProps {
  /** The version that is trained on. */
  version: string | undefined;
}

/** Train on nine tenths of the rows; the loss is drawn while it falls. */
export function TrainStep({ search, onSearch, number, state, version }: Props) {
  const { t } = useLingui();
  const base = useFirstRunModel(search.base);
  const train = useTrainSample();
  const training = useFirstRunTask(search.training);
  const importing = useFirstRunTask(
    base.data?.status === "pending" ? (base.data.task ?? undefined) : undefined,
  );
  const failed = training.data?.completed_at && training.data.status !== "completed";
  const start = () =>
    train.mutate(
      {
        project: search.project ?? "",
        dataset: search.dataset ?? "",
        version: version ?? "",
        base: search.base ?? "",
      },
      {
        onSuccess: (made) =>
          onSearch({ ...search, training: made.training.uuid, heldOut: made.heldOut }),
      },
    );
  const button = (
    <Button loading={train.isPending} disabled={base.data?.status !== "ready"} onClick={start}>
      {t`Start training`}
    </Button>
  );
  return (
    <Step
      number={number}
      state={state}
      title={t`Training`}
      duration={t`2 to 4 minutes without a GPU`}
      text={t`A tenth of the rows is held out, so that the model is later asked what it has never seen. On the others, an adapter is trained in 30 steps. The loss says how surprised the model is by the right answer: it should fall.`}
    >
      <Stack gap="sm">
        {!search.training && <div>{button}</div>}
        {!search.training && base.data?.status === "pending" && importing.data && (
          <Running task={importing.data} label={t`Bringing in the base model`} />
        )}
        {base.data?.status === "failed" && <Text size="sm">{base.data.error}</Text>}
        {train.isPending && (
          <Text size="sm" role="status">{t`Holding rows out, and checking both parts…`}</Text>
        )}
        <ErrorNotice error={train.error ?? base.error ?? training.error} />
        {training.data && (
          <>
            <Running task={training.data} label={t`Training`} again={failed ? button : undefined} />
            <Loss task={training.data} />
            <Text size="sm">
              <Trans>
                Log, resources and timeline are on the page of{" "}
                <AnchorLink
                  to="/p/$project/tasks/$task"
                  params={{ project: search.project ?? "", task: training.data.uuid }}
                >
                  the task
                </AnchorLink>
                . You may leave this page: the training goes on, and you can come back.
              </Trans>
            </Text>
          </>
        )}
      </Stack>
    </Step>
  );
}

function Loss({ task }: { task: TaskDetail }) {
  const { t } = useLingui();
  useLiveTask(task.uuid, task.completed_at !== null);
  const { data } = useQuery(taskMetricsOptions(task.uuid));
  const loss = useMemo(
    () => (data ? panels(data, "step", 0).find(({ title }) => title === "loss") : undefined),
    [data],
  );
  if (!loss) return null;
  return <Chart title={t`Loss`} series={loss.series} height={180} />;
}
