import { Trans, useLingui } from "@lingui/react/macro";
import { Stack, Tabs, Text, Title } from "@mantine/core";
import { useProject } from "@/api/projects";
import type { Deployment } from "@/api/types";
import { Code } from "@/design/Code";
import { type Call, curlSnippet, KEY, modelName, openaiSnippet, pythonSnippet } from "./snippets";

/** Where a deployment is asked, and code that does it. */
export function Endpoint({ deployment }: { deployment: Deployment }) {
  const { t } = useLingui();
  const project = useProject();
  const call: Call = {
    origin: window.location.origin,
    project: project.name,
    deployment: deployment.name,
    messages: [{ role: "user", content: t`What is your name?` }],
  };
  return (
    <Stack gap="lg" maw={860}>
      <section>
        <Title order={2} mb="xs">{t`Endpoint`}</Title>
        <Text size="sm" c="dimmed" mb="xs">
          {t`Any program that speaks the interface of OpenAI can ask it at this address, with this name as the model.`}
        </Text>
        <Stack gap="xs">
          <Code label={t`Address`}>{`${call.origin}/v1`}</Code>
          <Code label={t`Model`}>{modelName(call)}</Code>
        </Stack>
      </section>
      <section>
        <Title order={2} mb="xs">{t`In your code`}</Title>
        <Text size="sm" c="dimmed" mb="xs">
          <Trans>
            Put an API key into the variable <code>{KEY}</code>. A key of this project that may only
            use deployments is enough.
          </Trans>
        </Text>
        <CallTabs call={call} />
      </section>
    </Stack>
  );
}

/** The same call as a command and in two Python clients. */
export function CallTabs({ call }: { call: Call }) {
  const { t } = useLingui();
  return (
    <Tabs defaultValue="curl" keepMounted={false}>
      <Tabs.List mb="xs">
        <Tabs.Tab value="curl">curl</Tabs.Tab>
        <Tabs.Tab value="python">Python</Tabs.Tab>
        <Tabs.Tab value="openai">{t`OpenAI client`}</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="curl">
        <Code label="curl">{curlSnippet(call)}</Code>
      </Tabs.Panel>
      <Tabs.Panel value="python">
        <Code label="Python">{pythonSnippet(call)}</Code>
      </Tabs.Panel>
      <Tabs.Panel value="openai">
        <Code label={t`OpenAI client`}>{openaiSnippet(call)}</Code>
      </Tabs.Panel>
    </Tabs>
  );
}
