import { Trans, useLingui } from "@lingui/react/macro";
import { Modal, Text } from "@mantine/core";
import { useProject } from "@/api/projects";
import { CallTabs } from "@/pages/deployments/Endpoint";
import { KEY } from "@/pages/deployments/snippets";
import { type Conversation, messagesFor } from "./chat";
import type { Place } from "./PlaygroundPage";
import { requestFields } from "./parameters";
import type { Pane } from "./usePanes";

interface Props {
  place: Place;
  panes: readonly Pane[];
  conversation: Conversation;
  onClose: () => void;
}

/** The request behind an answer, as a command and as Python. */
export function CodeDialog({ place, panes, conversation, onClose }: Props) {
  const { t } = useLingui();
  const project = useProject();
  const pane = panes.find(({ who }) => who === place.who);
  if (!pane?.deployment) return null;
  const { parameters, base, deployment } = pane;
  return (
    <Modal opened onClose={onClose} size="lg" title={t`The same request in code`}>
      <Text size="sm" c="dimmed" mb="sm">
        <Trans>
          With the chat so far, and the parameters as they are now. Put an API key into the variable{" "}
          <code>{KEY}</code>.
        </Trans>
      </Text>
      <CallTabs
        call={{
          origin: window.location.origin,
          project: project.name,
          deployment: deployment.name,
          base,
          messages: messagesFor(conversation, place.turn, place.who, parameters.system),
          parameters: requestFields(parameters),
        }}
      />
    </Modal>
  );
}
