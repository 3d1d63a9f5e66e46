import { useLingui } from "@lingui/react/macro";
import { TagsInput } from "@mantine/core";
import { useChangeExperiment } from "@/api/experiments";
import { useCanHere } from "@/api/projects";
import type { Experiment } from "@/api/types";
import { useComplain } from "@/design/useComplain";
import { Tags } from "./columns";

/** The tags of an experiment; a change applies immediately. */
export function TagEditor({ experiment }: { experiment: Experiment }) {
  const { t } = useLingui();
  const can = useCanHere();
  const change = useChangeExperiment(experiment.uuid);
  const complain = useComplain();
  if (!can("training:write")) return <Tags tags={experiment.tags} />;
  return (
    <TagsInput
      size="xs"
      maw={420}
      aria-label={t`Tags`}
      placeholder={experiment.tags.length === 0 ? t`Add a tag` : ""}
      value={experiment.tags}
      onChange={(tags) => change.mutate({ tags }, { onError: complain })}
    />
  );
}
