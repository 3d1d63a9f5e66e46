import { Trans, useLingui } from "@lingui/react/macro";
import { Alert, Button, Title } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { experimentOptions } from "@/api/experiments";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { sweepOptions, useCancelSweep } from "@/api/sweeps";
import { Confirm } from "@/design/Confirm";
import { Figures } from "@/design/Figures";
import { formatMetric } from "@/design/format";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ExperimentLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { Elapsed, Id, Metric, TimeAgo } from "@/design/values";
import { MOST } from "@/pages/experiments/search";
import { ParallelCoordinates } from "./ParallelCoordinates";
import { RegisterBest } from "./RegisterBest";
import type { SweepSearch } from "./search";
import { readSweepSpec } from "./spec";
import { TrialTable } from "./TrialTable";

interface Props {
  uuid: string;
  search: SweepSearch;
  onSearch: (search: SweepSearch) => void;
}

const OPEN = ["running", "paused", "resuming"];

/** A search for good settings: its trials so far, and the best of them. */
export function SweepPage({ uuid, search, onSearch }: Props) {
  const { t, i18n } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const sweep = useSuspenseQuery(sweepOptions(uuid)).data;
  const experiment = useQuery(experimentOptions(sweep.experiment)).data;
  const cancel = useCancelSweep(uuid);
  const [dialog, setDialog] = useState<"cancel" | "register" | null>(null);
  const facts = readSweepSpec(sweep.spec);
  const ended = sweep.trials.filter((trial) => !OPEN.includes(trial.state)).length;
  const of = facts.maxTrials ?? sweep.trials.length;
  const { best } = sweep;
  const marked = search.trial ?? null;
  const tasks = sweep.trials.flatMap((trial) => trial.task ?? []);
  return (
    <>
      <PageHeader
        title={sweep.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink
            key="list"
            to="/p/$project/experiments"
            params={{ project: param }}
            search={{ view: "sweeps" }}
          >
            {t`Sweeps`}
          </AnchorLink>,
        ]}
        aside={<Status status={sweep.status} />}
        lead={
          best ? (
            <Trans>
              {ended} of at most {of} trials have ended; the best is trial {best.number} with{" "}
              {facts.objective} {formatMetric(best.value, i18n.locale)}
            </Trans>
          ) : (
            <Trans>
              {ended} of at most {of} trials have ended
            </Trans>
          )
        }
        actions={
          <>
            {tasks.length > 1 && (
              <ButtonLink
                variant="default"
                to="/p/$project/experiments/compare"
                params={{ project: param }}
                search={{ run: tasks.slice(-MOST) }}
              >
                {t`Compare the curves`}
              </ButtonLink>
            )}
            {sweep.status === "running" && can("training:write") && (
              <Button variant="default" onClick={() => setDialog("cancel")}>
                {t`Cancel`}
              </Button>
            )}
            {best?.model && sweep.status !== "running" && can("models:write") && (
              <Button onClick={() => setDialog("register")}>{t`Register the best`}</Button>
            )}
          </>
        }
      />
      {sweep.error && (
        <Alert color="red" variant="outline" mb="md" title={t`Why it ended`}>
          {sweep.error}
        </Alert>
      )}
      <Figures
        items={[
          {
            label: t`Experiment`,
            value: (
              <ExperimentLink
                uuid={sweep.experiment}
                name={experiment?.name ?? sweep.experiment.slice(0, 8)}
              />
            ),
          },
          { label: facts.objective, value: <Metric value={best?.value} /> },
          { label: t`Method`, value: facts.method },
          {
            label: t`Duration`,
            value: <Elapsed since={sweep.created_at} until={sweep.ended_at} />,
          },
          { label: t`Author`, value: <UserName user={sweep.author} /> },
          { label: t`Created`, value: <TimeAgo time={sweep.created_at} /> },
          { label: t`Id`, value: <Id value={sweep.uuid} /> },
        ]}
      />
      {sweep.trials.length > 0 && (
        <section>
          <Title order={2} mb="sm">{t`Parameters and results`}</Title>
          <ParallelCoordinates
            trials={sweep.trials}
            facts={facts}
            best={best?.number ?? null}
            marked={marked}
            onMark={(trial) => onSearch({ trial: trial ?? undefined })}
          />
        </section>
      )}
      <Title order={2} mt="lg" mb="sm">{t`Trials`}</Title>
      <TrialTable sweep={sweep} marked={marked} onMark={(trial) => onSearch({ trial })} />
      <RegisterBest
        sweep={sweep.uuid}
        opened={dialog === "register"}
        onClose={() => setDialog(null)}
      />
      <Confirm
        opened={dialog === "cancel"}
        onClose={() => setDialog(null)}
        title={t`Cancel this sweep?`}
        action={t`Cancel the sweep`}
        pending={cancel.isPending}
        error={cancel.error}
        onConfirm={() => cancel.mutate(undefined, { onSuccess: () => setDialog(null) })}
      >
        {t`Its running trials are stopped. The results so far are kept.`}
      </Confirm>
    </>
  );
}
