import { Trans, useLingui } from "@lingui/react/macro";
import { Alert, Text, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useProject, useProjectParam } from "@/api/projects";
import { taskOptions } from "@/api/tasks";
import { Figures } from "@/design/Figures";
import { formatMetric, formatPercent } from "@/design/format";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { DatasetLink, ModelLink, UserName } from "@/design/refs";
import { Status } from "@/design/Status";
import { Elapsed, Num, TimeAgo } from "@/design/values";
import { TaskActions } from "@/pages/tasks/TaskActions";
import { TaskLead } from "@/pages/tasks/TaskLead";
import { TaskProgress } from "@/pages/tasks/TaskRows";
import { useLiveTask } from "@/pages/tasks/useLiveTask";
import { Answers } from "./Answers";
import { Comparison } from "./Comparison";
import classes from "./Evaluation.module.css";
import { improvement, readConditions, readResult } from "./result";
import { useSubjects } from "./useSubjects";

/** One evaluation: is the tuned model better than its base, by which figures and answers. */
export function EvaluationPage({ uuid }: { uuid: string }) {
  const { t, i18n } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const subjects = useSubjects();
  const task = useSuspenseQuery(taskOptions(uuid)).data;
  const ended = task.completed_at !== null;
  useLiveTask(uuid, ended);
  const result = readResult(task.result);
  const conditions = readConditions(task.config, result.model);
  const model = subjects.model(task.config);
  const dataset = subjects.dataset(task.config);
  const gain = improvement(result.base?.loss ?? null, result.model?.loss ?? null);
  const size = gain === null ? "" : formatPercent(Math.abs(gain), i18n.locale);
  return (
    <>
      <PageHeader
        title={task.name}
        crumbs={[
          <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
            {project.name}
          </AnchorLink>,
          <AnchorLink key="list" to="/p/$project/evaluations" params={{ project: param }}>
            {t`Evaluations`}
          </AnchorLink>,
        ]}
        aside={<Status status={task.status} />}
        lead={
          gain === null ? (
            <TaskLead task={task} />
          ) : gain > 0 ? (
            <Trans>The tuned model is better: its loss on held-out rows is {size} lower.</Trans>
          ) : (
            <Trans>
              The tuned model is not better: its loss on held-out rows is {size} higher.
            </Trans>
          )
        }
        actions={
          <>
            <ButtonLink
              variant="default"
              to="/p/$project/tasks/$task"
              params={{ project: param, task: uuid }}
            >
              {t`Log and resources`}
            </ButtonLink>
            <TaskActions task={task} />
          </>
        }
      />
      {task.error_message && (
        <Alert color="red" variant="outline" mb="md" title={t`Why it ended`}>
          {task.error_message}
        </Alert>
      )}
      <Figures
        items={[
          { label: t`Model`, value: model ? <ModelLink {...model} /> : "–" },
          { label: t`Data`, value: dataset ? <DatasetLink {...dataset} /> : "–" },
          ...(ended ? [] : [{ label: t`Progress`, value: <TaskProgress task={task} /> }]),
          { label: t`Rows`, value: <Num value={result.rows} /> },
          { label: t`Tokens`, value: <Num value={result.tokens} /> },
          {
            label: t`Duration`,
            value: <Elapsed since={task.started_at} until={task.completed_at} />,
          },
          { label: t`Author`, value: <UserName user={task.author} /> },
          { label: t`Created`, value: <TimeAgo time={task.created_at} /> },
        ]}
      />
      {result.model && (
        <section>
          <Title order={2} mb="sm">{t`Comparison`}</Title>
          <Comparison result={result} />
          {(result.truncated ?? 0) > 0 && (
            <Text size="sm" c="dimmed" mt="sm">{t`${result.truncated} rows were cut.`}</Text>
          )}
          {(result.dropped ?? 0) > 0 && (
            <Text size="sm" c="dimmed" mt="sm">
              {t`${result.dropped} rows were left out, because they have nothing to be judged by.`}
            </Text>
          )}
        </section>
      )}
      {conditions.length > 0 && (
        <section>
          <Title order={2} mt="lg" mb="sm">{t`Conditions`}</Title>
          <ul className={classes.conditions}>
            {conditions.map(({ metric, op, bound, met }) => (
              <li key={`${metric}${op}${bound}`}>
                <span className="mono">{`${metric} ${op} ${formatMetric(bound, i18n.locale)}`}</span>
                {met === null ? (
                  <span className="secondary">{t`not known yet`}</span>
                ) : (
                  <Status status={met ? "passed" : "not_passed"} />
                )}
              </li>
            ))}
          </ul>
        </section>
      )}
      {result.model && (
        <section>
          <Title order={2} mt="lg" mb="sm">{t`Answers`}</Title>
          <Answers answers={result.answers} />
        </section>
      )}
    </>
  );
}
