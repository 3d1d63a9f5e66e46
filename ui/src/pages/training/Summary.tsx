import { Plural, useLingui } from "@lingui/react/macro";
import { Tabs, Title, UnstyledButton } from "@mantine/core";
import { IconAlertTriangle, IconCircleDashed, IconCircleX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Code } from "@/design/Code";
import { Num, Size } from "@/design/values";
import type { Draft } from "./draft";
import { toCli, toPython, toYaml } from "./equivalents";
import type { TrainingStep } from "./search";
import classes from "./Training.module.css";
import type { Problem } from "./useProblems";
import type { TrainingFacts } from "./useTrainingFacts";

interface Props {
  draft: Draft;
  facts: TrainingFacts;
  problems: readonly Problem[];
  onStep: (step: TrainingStep) => void;
}

/** What the training will be, what is wrong with it, and the same in other forms. */
export function Summary({ draft, facts, problems, onStep }: Props) {
  const { t } = useLingui();
  const { tokens } = facts;
  const figures: [string, ReactNode][] = [
    [t`Data`, facts.names.dataset ?? "–"],
    [t`Rows`, <Num key="rows" value={facts.rows} />],
    ...(tokens
      ? ([
          [t`Tokens in one pass`, <Num key="tokens" value={tokens.total} />],
          [t`95 % of rows have at most`, t`${tokens.p95} tokens`],
        ] satisfies [string, ReactNode][])
      : []),
    [t`Held-out data`, facts.names.evalDataset ?? t`none`],
    [t`Base model`, facts.names.model ?? "–"],
    ...(facts.model
      ? ([[t`Its size`, <Size key="size" bytes={facts.model.size} />]] satisfies [
          string,
          ReactNode,
        ][])
      : []),
    [t`Steps, at most`, <Num key="steps" value={facts.steps} />],
    [t`Reserved`, <Reserved key="reserved" gpus={draft.gpus} cpus={draft.cpus} />],
  ];
  return (
    <aside className={classes.aside} aria-label={t`Summary`}>
      <Tabs defaultValue="summary" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="summary">{t`Summary`}</Tabs.Tab>
          <Tabs.Tab value="yaml">YAML</Tabs.Tab>
          <Tabs.Tab value="python">Python</Tabs.Tab>
          <Tabs.Tab value="cli">CLI</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="summary">
          <dl className={classes.figures}>
            {figures.map(([label, value]) => (
              <div key={label} style={{ display: "contents" }}>
                <dt>{label}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
          {problems.length > 0 && (
            <section aria-live="polite">
              <Title order={2} mt="md">{t`To look at`}</Title>
              <ul className={classes.problems}>
                {problems.map((problem) => (
                  <li key={problem.text}>
                    <UnstyledButton
                      className={classes.problem}
                      data-blocks={problem.missing ? undefined : problem.blocks}
                      onClick={() => onStep(problem.step)}
                    >
                      {problem.missing ? (
                        <IconCircleDashed size={16} aria-hidden style={{ flexShrink: 0 }} />
                      ) : problem.blocks ? (
                        <IconCircleX size={16} aria-hidden style={{ flexShrink: 0 }} />
                      ) : (
                        <IconAlertTriangle size={16} aria-hidden style={{ flexShrink: 0 }} />
                      )}
                      <span>{problem.text}</span>
                    </UnstyledButton>
                  </li>
                ))}
              </ul>
            </section>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="yaml">
          <Code label="YAML">{toYaml(draft, facts.names)}</Code>
        </Tabs.Panel>
        <Tabs.Panel value="python">
          <Code label="Python">{toPython(draft, facts.names)}</Code>
        </Tabs.Panel>
        <Tabs.Panel value="cli">
          <Code label={t`Command line`}>{toCli(draft, facts.names)}</Code>
        </Tabs.Panel>
      </Tabs>
    </aside>
  );
}

function Reserved({ gpus, cpus }: { gpus: number; cpus: number }) {
  const cores = <Plural value={cpus} one="# core" other="# cores" />;
  if (gpus === 0) return cores;
  return (
    <>
      <Plural value={gpus} one="# GPU" other="# GPUs" />, {cores}
    </>
  );
}
