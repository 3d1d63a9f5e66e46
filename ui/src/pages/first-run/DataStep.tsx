import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Button, Group, Stack, Text } from "@mantine/core";
import {
  useBaseModel,
  useBeginFirstRun,
  useFirstRunDataset,
  useUploadSample,
} from "@/api/firstRun";
import { useCan } from "@/api/session";
import { ErrorNotice } from "@/design/ErrorNotice";
import { LinkInto } from "@/design/refs";
import type { StepProps } from "./FirstRunPage";
import { Step } from "./Step";

/** Create a project, upload the sample, and bring the base model in meanwhile. */
export function DataStep({ search, onSearch, number, state }: StepProps) {
  const { t } = useLingui();
  const can = useCan();
  const begin = useBeginFirstRun();
  const upload = useUploadSample();
  const base = useBaseModel();
  const dataset = useFirstRunDataset(search.dataset).data;
  const pending = begin.isPending || upload.isPending || base.isPending;

  const start = async () => {
    // What has succeeded stays: another attempt goes on from there.
    let reached = search;
    const reach = (part: typeof search) => {
      reached = { ...reached, ...part };
      onSearch(reached);
    };
    if (!reached.project) {
      const project = await begin.mutateAsync(t`A first run, step by step`);
      reach({ project: project.uuid });
    }
    if (!reached.base) reach({ base: (await base.mutateAsync(reached.project ?? "")).uuid });
    if (!reached.dataset)
      reach({ dataset: (await upload.mutateAsync(reached.project ?? "")).uuid });
  };
  const error = begin.error ?? base.error ?? upload.error;
  return (
    <Step
      number={number}
      state={state}
      title={t`Sample data`}
      duration={t`a few seconds`}
      text={t`A project of your own gets 161 chats: questions about AI with good answers, and chats of a furniture shop that were copied, pasted and exported twice. Meanwhile a small language model comes in, on which you will train.`}
    >
      {dataset ? (
        <Text size="sm">
          <Trans>
            <Plural value={dataset.row_count} one="# row" other="# rows" /> in{" "}
            <LinkInto
              project={search.project ?? ""}
              kind="dataset"
              section="datasets"
              uuid={dataset.uuid}
              name={dataset.name}
            />
            , version {dataset.version}.
          </Trans>
        </Text>
      ) : (
        <Stack gap="sm" align="flex-start">
          {can("projects:write") ? (
            <Group>
              <Button loading={pending} onClick={() => void start().catch(() => undefined)}>
                {t`Bring in the sample`}
              </Button>
            </Group>
          ) : (
            <Text size="sm">
              {t`Your role may not create projects. Ask an administrator for the role “developer”, or for a project of your own.`}
            </Text>
          )}
          <ErrorNotice error={error} />
        </Stack>
      )}
    </Step>
  );
}
