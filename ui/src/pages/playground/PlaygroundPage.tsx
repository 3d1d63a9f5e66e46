import { useLingui } from "@lingui/react/macro";
import { Button, Group, Text } from "@mantine/core";
import { IconColumns, IconMessage, IconPlus } from "@tabler/icons-react";
import { type CSSProperties, useState } from "react";
import { useCanHere, useProject, useProjectParam } from "@/api/projects";
import { EmptyState } from "@/design/EmptyState";
import { ErrorNotice } from "@/design/ErrorNotice";
import { AnchorLink, ButtonLink } from "@/design/links";
import { PageHeader } from "@/design/PageHeader";
import { PageSkeleton } from "@/design/Skeletons";
import { useLiveDeployments } from "@/pages/deployments/useLiveDeployments";
import { CodeDialog } from "./CodeDialog";
import { Composer } from "./Composer";
import { PaneHeader } from "./PaneHeader";
import classes from "./Playground.module.css";
import { SaveRow } from "./SaveRow";
import { MOST, type PlaygroundSearch } from "./search";
import { Turns } from "./Turns";
import { useChat } from "./useChat";
import { useFollow } from "./useFollow";
import { usePanes } from "./usePanes";

interface Props {
  search: PlaygroundSearch;
  onSearch: (search: PlaygroundSearch) => void;
}

/** What a dialog is about: an answer in the conversation. */
export interface Place {
  turn: string;
  who: string;
}

/** Chat with one to three deployments side by side. */
export function PlaygroundPage({ search, onSearch }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const param = useProjectParam();
  const can = useCanHere();
  const { panes, choices, setParameters, list } = usePanes(search.with);
  const chat = useChat(project.uuid);
  const [saving, setSaving] = useState<Place | null>(null);
  const [coding, setCoding] = useState<Place | null>(null);
  useLiveDeployments();
  useFollow(chat.conversation);
  const who = panes.map((pane) => pane.who);
  const asked = panes.map(({ who: name, parameters }) => ({ who: name, parameters }));
  const next = choices.find(({ value, disabled }) => !disabled && !who.includes(value));
  const empty = chat.conversation.turns.length === 0;
  const header = (
    <PageHeader
      title={t`Playground`}
      crumbs={[
        <AnchorLink key="project" to="/p/$project" params={{ project: param }}>
          {project.name}
        </AnchorLink>,
      ]}
      actions={
        !empty && (
          <Button variant="default" leftSection={<IconPlus size={15} />} onClick={chat.clear}>
            {t`New chat`}
          </Button>
        )
      }
    />
  );
  if (list.error)
    return (
      <>
        {header}
        <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />
      </>
    );
  if (!list.data)
    return (
      <>
        {header}
        <PageSkeleton />
      </>
    );
  if (list.data.items.length === 0)
    return (
      <>
        {header}
        <EmptyState
          icon={<IconMessage size={32} stroke={1.5} />}
          title={t`Nothing answers here yet`}
          action={
            can("inference:write") ? (
              <ButtonLink to="/p/$project/deployments/new" params={{ project: param }}>
                {t`Deploy a model`}
              </ButtonLink>
            ) : undefined
          }
        >
          {t`In the playground you chat with the models that this project has deployed, and compare up to three of them side by side. Deploy a model first.`}
        </EmptyState>
      </>
    );
  return (
    <div className={classes.page}>
      {header}
      <div className={classes.heads}>
        <div
          className={classes.columns}
          style={{ "--columns": Math.max(panes.length, 1) } as CSSProperties}
        >
          {panes.map((pane, index) => (
            <PaneHeader
              key={pane.who}
              pane={pane}
              choices={choices}
              others={who.filter((name) => name !== pane.who)}
              onChoose={(name) => onSearch({ with: who.with(index, name) })}
              onRemove={
                panes.length > 1
                  ? () => onSearch({ with: who.filter((name) => name !== pane.who) })
                  : undefined
              }
              onParameters={(parameters, everywhere) =>
                setParameters(everywhere ? who : [pane.who], parameters)
              }
            />
          ))}
        </div>
        {next && panes.length < MOST && (
          <Button
            mt={4}
            size="compact-xs"
            variant="subtle"
            leftSection={<IconColumns size={14} />}
            onClick={() => onSearch({ with: [...who, next.value] })}
          >
            {t`Compare with another model`}
          </Button>
        )}
      </div>
      <div className={classes.turns}>
        {empty && (
          <Group gap="sm">
            <Text c="dimmed">
              {t`Ask a question that your users would ask. Each column answers on its own; their system prompts and parameters are beside their names.`}
            </Text>
            {chat.cleared && chat.cleared.turns.length > 0 && (
              <Button variant="default" onClick={chat.restore}>
                {t`Bring the last chat back`}
              </Button>
            )}
          </Group>
        )}
        <Turns
          panes={panes}
          chat={chat}
          asked={asked}
          onSave={can("datasets:write") ? setSaving : undefined}
          onCode={setCoding}
        />
      </div>
      <Composer
        project={project.uuid}
        busy={chat.busy}
        disabled={panes.length === 0}
        onSend={(question) => chat.send(question, asked)}
        onStop={() => chat.stop()}
      />
      {saving && (
        <SaveRow
          place={saving}
          panes={panes}
          conversation={chat.conversation}
          onClose={() => setSaving(null)}
        />
      )}
      {coding && (
        <CodeDialog
          place={coding}
          panes={panes}
          conversation={chat.conversation}
          onClose={() => setCoding(null)}
        />
      )}
    </div>
  );
}
