import { useLingui } from "@lingui/react/macro";
import { Button } from "@mantine/core";
import { useEffect } from "react";
import { useFirstRunDataset, useFirstRunReport, useFirstRunTask } from "@/api/firstRun";
import { useMe } from "@/api/session";
import { AnchorLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { ChatStep } from "./ChatStep";
import { CompareStep } from "./CompareStep";
import { DataStep } from "./DataStep";
import { FixStep } from "./FixStep";
import { ReportStep } from "./ReportStep";
import type { StepState } from "./Step";
import classes from "./Step.module.css";
import { type FirstRunSearch, forgetFirstRun, keepFirstRun } from "./search";
import { TrainStep } from "./TrainStep";

interface Props {
  search: FirstRunSearch;
  onSearch: (search: FirstRunSearch) => void;
}

export interface StepProps extends Props {
  number: number;
  state: StepState;
}

const STEPS = 6;

/** The whole way from sample rows to a model that answers, each step real. */
export function FirstRunPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const me = useMe();
  useEffect(() => keepFirstRun(me.uuid, search), [me.uuid, search]);

  const fixTask = useFirstRunTask(search.fix === "none" ? undefined : search.fix).data;
  const version = search.fix === "none" ? "v1" : versionOf(fixTask?.result);
  const dataset = useFirstRunDataset(search.dataset, version).data;
  const isChecked = dataset?.status === "ready" || dataset?.status === "failed";
  const checked = useFirstRunReport(
    search.dataset ?? "",
    "v1",
    isChecked || (dataset !== undefined && dataset.version !== "v1"),
  );
  const again = useFirstRunReport(
    search.dataset ?? "",
    version ?? "",
    version !== undefined && version !== "v1" && isChecked && dataset.version === version,
  );
  const report = checked.data;
  const fixed = again.data;
  const training = useFirstRunTask(search.training).data;
  const model = training?.status === "completed" ? (training.model ?? undefined) : undefined;
  const evaluation = useFirstRunTask(search.evaluation).data;

  const done = [
    dataset !== undefined,
    report !== undefined,
    version === "v1" || fixed !== undefined,
    model !== undefined,
    evaluation?.status === "completed",
    search.deployment !== undefined,
  ];
  const reached = done.indexOf(false);
  const current = reached < 0 ? STEPS - 1 : reached;
  const step = (index: number): StepProps => ({
    number: index + 1,
    state: index < current ? "done" : index === current ? "now" : "later",
    search,
    onSearch,
  });
  const restart = () => {
    forgetFirstRun(me.uuid);
    onSearch({});
  };
  return (
    <>
      <PageHeader
        title={t`First run`}
        crumbs={[<AnchorLink key="home" to="/">{t`Home`}</AnchorLink>]}
        lead={t`From sample rows to a model of your own that you can chat with. It takes about 6 minutes on a machine with two cores, and you may leave at any time.`}
        actions={
          search.project && (
            <Button variant="default" onClick={restart}>
              {t`Begin anew`}
            </Button>
          )
        }
      />
      <ol className={classes.steps}>
        <DataStep {...step(0)} />
        <ReportStep
          {...step(1)}
          report={report}
          error={checked.error}
          onRetry={() => void checked.refetch()}
        />
        <FixStep {...step(2)} report={report} fixed={fixed} />
        <TrainStep {...step(3)} version={version} />
        <CompareStep {...step(4)} model={model} />
        <ChatStep {...step(5)} model={model} />
      </ol>
    </>
  );
}

/** Return the version that a fix has made. */
function versionOf(result: Record<string, unknown> | null | undefined): string | undefined {
  return typeof result?.version === "string" ? result.version : undefined;
}
