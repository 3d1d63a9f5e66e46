import { useLingui } from "@lingui/react/macro";
import { Button, Group, Skeleton, Stack, Text, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import {
  type Answers,
  useAskSample,
  useDeploySample,
  useFirstRunDeployment,
  useStopSample,
} from "@/api/firstRun";
import type { Deployment } from "@/api/types";
import { ErrorNotice } from "@/design/ErrorNotice";
import { Status } from "@/design/Status";
import type { StepProps } from "./FirstRunPage";
import { Step } from "./Step";
import classes from "./Step.module.css";

interface Props extends StepProps {
  /** The tuned model. */
  model: string | undefined;
}

/** Deploy the tuned model, and ask it and its base the same questions. */
export function ChatStep({ search, onSearch, number, state, model }: Props) {
  const { t } = useLingui();
  const deploy = useDeploySample();
  const deployment = useFirstRunDeployment(search.deployment);
  const start = () =>
    deploy.mutate(
      { project: search.project ?? "", model: model ?? "" },
      { onSuccess: (made) => onSearch({ ...search, deployment: made.uuid }) },
    );
  const over = ["stopped", "crashed"].includes(deployment.data?.status ?? "");
  return (
    <Step
      number={number}
      state={state}
      title={t`Chat`}
      duration={t`about half a minute until it answers`}
      text={t`A deployment serves the tuned model under a name, for this page and for every program that speaks the protocol of OpenAI.`}
    >
      <Stack gap="sm" align="stretch">
        {(!search.deployment || over) && (
          <div>
            <Button loading={deploy.isPending} disabled={!model} onClick={start}>
              {over ? t`Deploy again` : t`Deploy the model`}
            </Button>
          </div>
        )}
        <ErrorNotice error={deploy.error ?? deployment.error} />
        {deployment.data && (
          <Group gap="sm">
            <Status status={deployment.data.status} />
            {deployment.data.error && <Text size="sm">{deployment.data.error}</Text>}
          </Group>
        )}
        {deployment.data?.status === "ready" && <Chat deployment={deployment.data} />}
      </Stack>
    </Step>
  );
}

function Chat({ deployment }: { deployment: Deployment }) {
  const { t } = useLingui();
  const ask = useAskSample();
  const stop = useStopSample();
  const [question, setQuestion] = useState("");
  const [answers, setAnswers] = useState<Answers[]>([]);
  const send = (text: string) => {
    if (!text.trim() || ask.isPending) return;
    setQuestion(text);
    ask.mutate(
      { deployment: deployment.name, question: text.trim() },
      {
        onSuccess: (given) => {
          setAnswers((before) => [...before, given]);
          setQuestion("");
        },
      },
    );
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send(question);
  };
  const suggestions = [t`What is machine learning?`, t`How do I return a lamp that flickers?`];
  return (
    <>
      {answers.map((given, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: answers are only added at the end
        <section key={index} aria-label={given.question}>
          <Text fw={600}>{given.question}</Text>
          <div className={classes.pair}>
            <Said label={t`Base model`} text={given.base} />
            <Said label={t`Tuned model`} text={given.tuned} />
          </div>
        </section>
      ))}
      {ask.isPending && <Skeleton height={48} role="status" aria-label={t`Both models answer`} />}
      <form onSubmit={submit}>
        <Group gap="sm" align="flex-end" wrap="nowrap">
          <TextInput
            flex={1}
            label={t`Ask both models`}
            value={question}
            maxLength={1000}
            onChange={(event) => setQuestion(event.currentTarget.value)}
          />
          <Button type="submit" size="sm" loading={ask.isPending}>
            {t`Ask`}
          </Button>
        </Group>
      </form>
      {answers.length === 0 && (
        <Group gap="sm">
          {suggestions.map((text) => (
            <Button
              key={text}
              variant="default"
              disabled={ask.isPending}
              onClick={() => send(text)}
            >
              {text}
            </Button>
          ))}
        </Group>
      )}
      <ErrorNotice error={ask.error ?? stop.error} />
      <Group>
        <Button
          variant="default"
          loading={stop.isPending}
          onClick={() => stop.mutate(deployment.uuid)}
        >
          {t`Stop the deployment`}
        </Button>
        <Text size="sm" c="dimmed">
          {t`It holds memory while it runs.`}
        </Text>
      </Group>
    </>
  );
}

function Said({ label, text }: { label: string; text: string }) {
  return (
    <div>
      <span className="secondary">{label}</span>
      <p className={classes.answer}>{text || "–"}</p>
    </div>
  );
}
